"""Shared by the tests: the golden cases, unpacked once, and small frames."""

import pickle
import tarfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def golden_kitti(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with one sub-folder per golden case: label_2, det, expected.json."""
    folder = tmp_path_factory.mktemp("golden_kitti")
    with tarfile.open(Path(__file__).parent / "golden" / "kitti" / "cases.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder


class PicklingPool:
    """Stands in for a pool of processes: what would cross to another one is pickled there and back."""

    def __init__(self, max_workers: int, mp_context: Any) -> None:
        assert max_workers > 0
        assert mp_context.get_start_method() == "spawn"

    def __enter__(self) -> "PicklingPool":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def map(self, call: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        for item in items:
            there, sent = pickle.loads(pickle.dumps((call, item)))
            yield pickle.loads(pickle.dumps(there(sent)))


@pytest.fixture
def real_processes() -> None:
    """Let the processes of `processes=2` be real ones; they take seconds to start."""


@pytest.fixture(autouse=True)
def _quick_pool(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "real_processes" not in request.fixturenames:
        monkeypatch.setattr("concurrent.futures.ProcessPoolExecutor", PicklingPool)
