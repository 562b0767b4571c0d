"""Label and point files: round trips, refusals, random bytes; the folder tree."""

from pathlib import Path

import numpy as np
import pytest
from evaluators.semantickitti import (
    frame_path,
    list_frames,
    pair_frames,
    read_label_file,
    read_points,
    write_label_file,
)
from evaluators.semantickitti.files import ScanReader
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

FUZZ = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@FUZZ
@given(st.lists(st.integers(0, 2**32 - 1), max_size=50))
def test_labels_survive_a_file(tmp_path: Path, values: list[int]) -> None:
    labels = np.array(values, dtype=np.uint32)
    write_label_file(tmp_path / "a.label", labels)
    assert (tmp_path / "a.label").stat().st_size == 4 * len(values)
    assert read_label_file(tmp_path / "a.label").tolist() == values


@FUZZ
@given(st.binary(max_size=100))
def test_random_bytes_are_labels_or_a_value_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.label"
    path.write_bytes(content)
    for read, item in ((read_label_file, 4), (read_points, 16)):
        if len(content) % item:
            with pytest.raises(
                ValueError, match=rf"a\.label: {len(content)} bytes are no multiple of {item}"
            ):
                read(path)
        else:
            assert read(path).tobytes() == content


def test_files_are_little_endian(tmp_path: Path) -> None:
    (tmp_path / "a.label").write_bytes(bytes([252, 0, 7, 0]))
    assert read_label_file(tmp_path / "a.label").tolist() == [252 | 7 << 16]


def test_labels_can_be_written_to_and_stay(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_label_file(tmp_path / name, np.array([ord(name)] * 3, dtype=np.uint32))
    first = read_label_file(tmp_path / "a")
    read_label_file(tmp_path / "b")
    first[0] = 1
    assert first.tolist() == [1, 97, 97]


def test_a_reader_uses_its_memory_again(tmp_path: Path) -> None:
    reader = ScanReader()
    for n in (5, 0, 2, 9):
        write_label_file(tmp_path / "a", np.arange(n, dtype=np.uint32))
        assert reader.labels(tmp_path / "a").tolist() == list(range(n))


def test_writing_makes_folders_and_leaves_nothing_half_done(tmp_path: Path) -> None:
    path = frame_path(tmp_path, "11/000003", "predictions")
    write_label_file(path, np.zeros(2, np.uint32))
    assert [found.name for found in path.parent.iterdir()] == ["000003.label"]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.label"):
        read_label_file(tmp_path / "none.label")


def tree(root: Path, kind: str, *frames: str) -> Path:
    (root / "sequences").mkdir(parents=True, exist_ok=True)
    for frame in frames:
        write_label_file(frame_path(root, frame, kind), np.zeros(1, np.uint32))
    return root


def test_frames_are_sorted_and_other_files_left_out(tmp_path: Path) -> None:
    root = tree(tmp_path, "labels", "08/000010", "08/000002", "00/000001", "09/000001")
    (root / "sequences/08/labels/notes.txt").write_text("")
    (root / "sequences/08/velodyne").mkdir()
    assert list_frames(root, ("08", "00", "08"), "labels") == ["00/000001", "08/000002", "08/000010"]
    assert list_frames(root, ("08",), "velodyne") == []
    with pytest.raises(FileNotFoundError, match="no folder sequences"):
        list_frames(root / "sequences", ("08",), "labels")


def test_pairs_are_made_by_name(tmp_path: Path) -> None:
    gt = tree(tmp_path / "gt", "labels", "08/000000", "08/000001")
    # One missing here and one too many there: equal counts, which the official script would pair by place.
    pred = tree(tmp_path / "pred", "predictions", "08/000000", "08/000002")
    with pytest.raises(ValueError, match=r"1 frames without labels in .*: 08/000002"):
        pair_frames(gt, pred, ("08",))
    frame_path(pred, "08/000002", "predictions").unlink()
    with pytest.raises(FileNotFoundError, match="lacks predictions for 1 of 2 frames: 08/000001"):
        pair_frames(gt, pred, ("08",))
    frames, absent = pair_frames(gt, pred, ("08",), missing="empty")
    assert (frames, absent) == (["08/000000", "08/000001"], {"08/000001"})


def test_sequences_without_labels_are_refused(tmp_path: Path) -> None:
    gt = tree(tmp_path, "labels", "08/000000")
    with pytest.raises(FileNotFoundError, match="no labels for sequence 07"):
        pair_frames(gt, gt, ("08", "07"), missing="empty")
    with pytest.raises(FileNotFoundError, match="none given"):
        pair_frames(gt, gt, ())
