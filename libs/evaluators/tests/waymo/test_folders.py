"""Folders of .npz files: pairing, refusals, and damaged files."""

import io
from pathlib import Path

import numpy as np
import pytest
from evaluators import waymo
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.fixture
def folders(tmp_path: Path, crowded: tuple) -> Path:
    """gt and pred with one file per frame."""
    gt, pred = crowded
    for name in gt:
        for folder, objects in (("gt", gt[name]), ("pred", pred[name])):
            (tmp_path / folder).mkdir(exist_ok=True)
            columns = {key: getattr(objects, key) for key in objects.__dataclass_fields__}
            np.savez(tmp_path / folder / f"{name}.npz", **{k: v for k, v in columns.items() if v is not None})
    return tmp_path


def test_folders_equal_arrays(folders: Path, crowded: tuple) -> None:
    expected = waymo.evaluate(*crowded).to_json()
    assert waymo.evaluate_folders(folders / "gt", folders / "pred").to_json() == expected
    two = waymo.collect_folders(folders / "gt", folders / "pred", processes=2)
    assert two.compute().to_json() == expected


def test_missing_and_listed_frames(folders: Path) -> None:
    gt, pred = folders / "gt", folders / "pred"
    (pred / "000.npz").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"lacks prediction files for 1 of 20 frames: 000; .*--missing empty"
    ):
        waymo.evaluate_folders(gt, pred)
    assert waymo.evaluate_folders(gt, pred, missing="empty").counts.n_missing == 1
    assert waymo.evaluate_folders(gt, pred, frames=["003", "001"]).counts.n_frames == 2
    with pytest.raises(ValueError, match="more than once: 001"):
        waymo.evaluate_folders(gt, pred, frames=["001", "001"])
    with pytest.raises(FileNotFoundError, match="lacks ground truth files for 1 of 1 frames: 999"):
        waymo.evaluate_folders(gt, pred, frames=["999"])
    (pred / "001.npz").rename(pred / "other.npz")
    with pytest.raises(ValueError, match=r"1 frames without ground truth in .*gt: other"):
        waymo.evaluate_folders(gt, pred)
    with pytest.raises(FileNotFoundError, match="gt_dir: no folder"):
        waymo.evaluate_folders(folders / "none", pred)
    (folders / "void").mkdir()
    with pytest.raises(FileNotFoundError, match="gt_dir: no frames to evaluate"):
        waymo.evaluate_folders(folders / "void", folders / "void")


def test_other_content_is_refused_with_a_cure(tmp_path: Path) -> None:
    good = {"boxes": np.ones((2, 7)), "types": np.ones(2, np.int64), "scores": np.ones(2)}
    for change, message in (
        ({"boxes": np.ones((2, 8))}, r"boxes must be \[n, 7\], got \(2, 8\)"),
        ({"boxes": np.ones(7)}, "boxes must be float64 with 2 dimensions"),
        ({"types": np.ones(2)}, "types must be int64 with 1 dimensions"),
        ({"scores": np.array(["a", "b"])}, "scores must be float64 with 1 dimensions"),
        ({"difficulty": np.ones(2, int)}, "missing: none; unknown: difficulty"),
        ({"scores": None}, "missing: scores; unknown: none"),
        ({"types": np.array([{}, {}])}, r"cannot be read as .npz .*write it anew"),
    ):
        arrays = {key: value for key, value in {**good, **change}.items() if value is not None}
        np.savez(tmp_path / "a.npz", **arrays)
        with pytest.raises(ValueError, match=rf"a\.npz.*{message}"):
            waymo.read_predictions(tmp_path / "a.npz")
    with pytest.raises(FileNotFoundError):
        waymo.read_ground_truth(tmp_path / "absent.npz")


@pytest.mark.slow
@settings(max_examples=150)
@given(
    edits=st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=3)), max_size=4),
    keep=st.floats(0, 1) | st.just(1.0),
    noise=st.binary(max_size=40) | st.none(),
)
def test_damaged_files_raise_nothing_but_value_errors(
    tmp_path_factory: pytest.TempPathFactory,
    edits: list[tuple[float, bytes]],
    keep: float,
    noise: bytes | None,
) -> None:
    stream = io.BytesIO()
    np.savez(stream, boxes=np.ones((2, 7)), types=np.ones(2, np.int64), n_points=np.ones(2, np.int64))
    data = bytearray(stream.getvalue() if noise is None else noise)
    for place, replacement in edits:
        at = int(place * len(data))
        data[at : at + len(replacement)] = replacement
    path = tmp_path_factory.getbasetemp() / "fuzz_waymo.npz"
    path.write_bytes(bytes(data[: int(keep * len(data))]))
    try:
        objects = waymo.read_ground_truth(path)
    except ValueError as error:
        assert str(path) in str(error)
    else:
        assert objects.boxes.shape[1] == 7
