"""Shared by the tests: the golden cases, unpacked once, and small frames."""

import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


@pytest.fixture(scope="session")
def golden_kitti(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with one sub-folder per golden case: label_2, det, expected.json."""
    folder = tmp_path_factory.mktemp("golden_kitti")
    with tarfile.open(Path(__file__).parent / "golden" / "kitti" / "cases.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder
