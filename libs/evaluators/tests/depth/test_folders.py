"""Folders of depth maps."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from evaluators import depth


@pytest.fixture
def folders(tmp_path: Path, make_maps: Callable) -> Path:
    """gt and pred with 40 frames of mixed kinds, more than one chunk."""
    gt, pred = make_maps(0, 40)
    (tmp_path / "gt").mkdir()
    (tmp_path / "pred").mkdir()
    for name in gt:
        np.save(tmp_path / "gt" / f"{name}.npy", gt[name])
        np.savez(tmp_path / "pred" / f"{name}.npz", depth=pred[name])
    return tmp_path


def test_folders_equal_arrays_on_one_process_or_two(folders: Path, make_maps: Callable) -> None:
    expected = depth.evaluate(*make_maps(0, 40), caps_m=(30, 80)).to_json()
    assert depth.evaluate_folders(folders / "gt", folders / "pred", caps_m=(30, 80)).to_json() == expected
    empty = depth.DepthEvaluator(caps_m=(30, 80))
    two = depth.collect_folders(folders / "gt", folders / "pred", like=empty, processes=2)
    assert two.compute().to_json() == expected
    assert len(empty) == 0


def test_png_and_numpy_pair_by_name(golden_depth: Path, tmp_path: Path) -> None:
    folder = golden_depth / "main_dense"
    for path in (folder / "pred").iterdir():
        np.save(tmp_path / f"{path.stem}.npy", depth.read_depth(path))
    (tmp_path / "notes.txt").write_text("other files are left alone")
    expected = depth.evaluate_folders(folder / "gt", folder / "pred").to_json()
    assert depth.evaluate_folders(folder / "gt", tmp_path).to_json() == expected


def test_listed_images_only(folders: Path) -> None:
    result = depth.evaluate_folders(folders / "gt", folders / "pred", frames=["005", "002"])
    assert result.frames == ("002", "005")
    (folders / "pred" / "039.npz").unlink()
    assert depth.evaluate_folders(folders / "gt", folders / "pred", frames=["000"]).frames == ("000",)


def test_folders_that_do_not_fit(folders: Path, tmp_path: Path) -> None:
    gt, pred = folders / "gt", folders / "pred"
    (tmp_path / "void").mkdir()
    with pytest.raises(FileNotFoundError, match=r"gt_dir: no folder .*absent"):
        depth.evaluate_folders(folders / "absent", pred)
    with pytest.raises(FileNotFoundError, match="gt_dir: no frames to evaluate"):
        depth.evaluate_folders(tmp_path / "void", tmp_path / "void")
    with pytest.raises(FileNotFoundError, match="void lacks prediction files for 40 of 40 frames: 000, 001"):
        depth.evaluate_folders(gt, tmp_path / "void")
    with pytest.raises(FileNotFoundError, match="gt lacks ground truth files for 1 of 2 frames: 777"):
        depth.evaluate_folders(gt, pred, frames=["000", "777"])
    with pytest.raises(ValueError, match="more than once: 000"):
        depth.evaluate_folders(gt, pred, frames=["000", "000"])
    np.save(pred / "000.npy", np.ones((2, 2)))
    with pytest.raises(ValueError, match=r"holds .* twice, as .*; keep one"):
        depth.evaluate_folders(gt, pred)
    (pred / "000.npy").rename(pred / "extra.npy")
    with pytest.raises(ValueError, match=r"1 frames without ground truth in .*: extra; wrong folder"):
        depth.evaluate_folders(gt, pred)
