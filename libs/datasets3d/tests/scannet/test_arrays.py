"""Arrays of two preparations that look alike and are never taken for each other."""

import numpy as np
import pytest
from datasets3d.indoor import SCANNET18, SCANNET_MD40
from datasets3d.scannet import read_arrays

MATRIX = np.array([[0, 1, 0, 2.0], [-1, 0, 0, 30.0], [0, 0, 1, 0.5], [0, 0, 0, 1]])


@pytest.fixture
def folder(tmp_path):
    """A scan of VoteNet's kind: four vertices, a bed and something of no class."""
    vertices = np.array([[0, 0, 0], [1, 2, 1], [8, 8, 0], [9, 8, 1]], np.float32)
    np.save(
        tmp_path / "a_vert.npy", np.concatenate([vertices, np.full((4, 3), 200)], axis=1, dtype=np.float32)
    )
    np.save(tmp_path / "a_bbox.npy", np.array([[0.5, 1, 0.5, 1, 2, 1, 3], [8.5, 8, 0.5, 1, 0.1, 1, 24]]))
    np.save(tmp_path / "a_sem_label.npy", np.array([3, 3, 24, 0]))
    np.save(tmp_path / "a_ins_label.npy", np.array([1, 1, 2, 0]))
    return tmp_path


def test_aligned_arrays_are_taken_as_they_are(folder):
    room = read_arrays(folder, "a", SCANNET_MD40)
    assert room.objects.names == ("bed",) and room.objects.boxes.tolist() == [[0.5, 1, 0.5, 1, 2, 1]]
    assert room.classes.tolist() == [1, 1, -1, -1] and room.instances.tolist() == [0, 0, 1, -1]
    assert room.aligned_from_scan is None and room.points[1].tolist() == [1, 2, 1]


def test_vertices_with_a_matrix_beside_them_are_aligned(folder):
    np.save(folder / "a_axis_align_matrix.npy", MATRIX)
    np.save(folder / "a_aligned_bbox.npy", np.array([[3, 29.5, 1, 2, 1, 1, 3.0]]))
    room = read_arrays(folder, "a", SCANNET_MD40)
    assert room.points[1].tolist() == [4, 29, 1.5] and len(room.objects) == 1


def test_boxes_of_another_frame_are_refused(folder):
    np.save(folder / "a_axis_align_matrix.npy", MATRIX)
    (folder / "a_bbox.npy").rename(folder / "a_aligned_bbox.npy")
    with pytest.raises(ValueError, match="boxes hold no vertex: vertices and boxes lie in different frames"):
        read_arrays(folder, "a", SCANNET_MD40)


def test_numbers_of_another_label_set_are_refused(folder):
    np.save(folder / "a_bbox.npy", np.array([[0.5, 1, 0.5, 1, 2, 1, 33.0]]))
    with pytest.raises(ValueError, match="classes 33 are beyond those of the label set 'scannet-md40'"):
        read_arrays(folder, "a", SCANNET_MD40)
    assert read_arrays(folder, "a", SCANNET18).objects.names == ("toilet",)


def test_without_labels_only_vertices_are_needed(folder):
    (folder / "a_bbox.npy").unlink()
    assert read_arrays(folder, "a", SCANNET_MD40, with_labels=False).objects is None
    with pytest.raises(FileNotFoundError, match=r"a_bbox\.npy"):
        read_arrays(folder, "a", SCANNET_MD40)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("vert", np.zeros((4, 3), np.float32), r"expected numbers \[n, 6\]"),
        ("vert", np.full((4, 6), np.nan, np.float32), "not finite"),
        ("bbox", np.zeros(7), r"expected numbers \[n, 7\]"),
        ("sem_label", np.zeros(3, int), "a label for each of 4 vertices"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(folder, name, array, message):
    np.save(folder / f"a_{name}.npy", array)
    with pytest.raises(ValueError, match=message):
        read_arrays(folder, "a", SCANNET_MD40)


def test_a_file_cut_short_and_pickled_objects_are_refused(folder):
    content = (folder / "a_vert.npy").read_bytes()
    (folder / "a_vert.npy").write_bytes(content[:-8])
    with pytest.raises(ValueError, match="cannot be read"):
        read_arrays(folder, "a", SCANNET_MD40)
    np.save(folder / "a_vert.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="cannot be read"):
        read_arrays(folder, "a", SCANNET_MD40)
