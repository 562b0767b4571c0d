"""Where compiled code goes when numba finds no place; each test in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

# numba looks in one place only, NUMBA_CACHE_DIR, which is not set: as if nothing could be written to.
NOWHERE = {"NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator"}
PROGRAM = """
import warnings
from pathlib import Path
import numpy as np
from numba import config
with warnings.catch_warnings(record=True) as heard:
    warnings.simplefilter("always")
    from geom3d.overlap import iou_bev
    box = np.array([[0.0, 0.0, 0.0, 2.0, 2.0, 2.0, 0.3]])
    assert iou_bev(box, box) == 1
said = [str(warning.message) for warning in heard if "NUMBA_CACHE_DIR" in str(warning.message)]
print(len(said), config.CACHE_DIR or "unset")
print(*said)
"""


def run(tmp_path: Path, **environment: str) -> tuple[list[str], str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=kept | {"TMPDIR": str(tmp_path)} | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    figures, said = result.stdout.splitlines()
    return figures.split(), said


@pytest.mark.slow
def test_a_private_temporary_folder_keeps_the_kernels_and_is_named_once(tmp_path: Path) -> None:
    figures, said = run(tmp_path, **NOWHERE)
    (folder,) = tmp_path.iterdir()
    assert figures == ["1", "unset"]
    assert f"kept in {folder}; set NUMBA_CACHE_DIR" in said
    assert folder.stat().st_mode & 0o777 == 0o700
    compiled = {path: path.stat().st_mtime_ns for path in folder.rglob("*.nbc")}
    assert compiled
    run(tmp_path, **NOWHERE)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.nbc")} == compiled


@pytest.mark.slow
def test_a_folder_that_others_can_enter_is_not_trusted(tmp_path: Path) -> None:
    run(tmp_path, **NOWHERE)
    (folder,) = tmp_path.iterdir()
    folder.chmod(0o777)
    _, said = run(tmp_path, **NOWHERE)
    assert f"kept in {folder};" not in said and "kept in" in said


@pytest.mark.slow
def test_without_any_folder_kernels_run_and_are_not_kept(tmp_path: Path) -> None:
    taken = tmp_path / f"fusion3d-kernels-{os.getuid()}"
    taken.write_text("a file where the folder would be")
    figures, said = run(tmp_path, **NOWHERE)
    assert figures == ["1", "unset"]
    assert "not kept" in said


@pytest.mark.slow
def test_a_folder_that_is_named_is_used_in_silence(tmp_path: Path) -> None:
    figures, said = run(tmp_path, NUMBA_CACHE_DIR=str(tmp_path / "named"))
    assert (figures[0], said) == ("0", "")
    assert list((tmp_path / "named").rglob("*.nbi"))
