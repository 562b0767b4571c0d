from pathlib import Path

import numpy as np
import pytest
from datasets3d.semantickitti import join_labels, label_path, read_labels, split_labels, write_labels


def test_what_is_written_is_read(tmp_path: Path) -> None:
    raw = np.array([0, 40, 10 + (65535 << 16)], np.uint32)
    path = label_path(tmp_path, "08/000123", kind="predictions")
    write_labels(path, raw)
    assert path.read_bytes() == raw.astype("<u4").tobytes()
    np.testing.assert_array_equal(read_labels(path), raw)
    assert [p.name for p in path.parent.iterdir()] == ["000123.label"]


def test_the_halves_are_put_together_again() -> None:
    raw = np.array([0, 40, 10 + (65535 << 16)], np.uint32)
    semantic, instances = split_labels(raw)
    assert instances.dtype == np.int32 and instances.tolist() == [0, 0, 65535]
    np.testing.assert_array_equal(join_labels(semantic, instances), raw)


@pytest.mark.parametrize("values", [[-1, 0], [65536, 0]])
def test_instances_that_do_not_fit_are_refused(values: list[int]) -> None:
    with pytest.raises(ValueError, match=r"instances must lie in 0\.\.65535"):
        join_labels(np.zeros(2, np.uint32), np.array(values))


@pytest.mark.usefixtures("unchecked_shapes")
def test_halves_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(2,\) semantic ids and \(1,\) instances"):
        join_labels(np.zeros(2, np.uint32), np.zeros(1, np.int32))


@pytest.mark.usefixtures("unchecked_shapes")
def test_class_indices_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="write_labels: raw: expected uint32, got uint8"):
        write_labels(tmp_path / "a.label", np.zeros(2, np.uint8))


def test_an_empty_file_is_a_scan_of_zero_points(tmp_path: Path) -> None:
    (tmp_path / "a.label").write_bytes(b"")
    assert read_labels(tmp_path / "a.label").shape == (0,)


def test_bytes_that_are_no_labels_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.label").write_bytes(b"40 40 50 50 0")
    with pytest.raises(ValueError, match=r"a\.label has 13 bytes, no multiple of 4 .*; it is text; copy"):
        read_labels(tmp_path / "a.label")
    with pytest.raises(FileNotFoundError, match=r"no label file .*b\.label; every labelled scan"):
        read_labels(tmp_path / "b.label")


@pytest.mark.parametrize("frame_id", ["000123", "08/", "/000123", "08/velodyne/000123"])
def test_a_frame_id_is_a_sequence_and_a_number(frame_id: str) -> None:
    with pytest.raises(ValueError, match="expected a frame id such as '08/000123'"):
        label_path("root", frame_id)
