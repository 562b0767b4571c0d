import numpy as np
import pytest
from geom3d import boxes, transforms
from geom3d.scannet import boxes_from_center_size, boxes_from_min_max, read_axis_alignment
from hypothesis import given
from hypothesis import strategies as st

IDENTITY = " ".join(f"{value:.6f}" for value in np.eye(4).ravel())


@pytest.mark.slow
@given(st.integers(0, 1000))
def test_both_forms_agree_with_the_corners(seed):
    low, high = np.sort(np.random.default_rng(seed).uniform(-5, 5, (2, 4, 3)), axis=0)
    found = boxes_from_min_max(low, high)
    assert np.allclose(boxes.corners(found).min(axis=1), low)
    assert np.allclose(boxes.corners(found).max(axis=1), high)
    assert np.allclose(boxes_from_center_size(found[:, :6]), found)


def test_swapped_corners_are_refused():
    with pytest.raises(ValueError, match=r"a lower corner lies above its upper one; swap them"):
        boxes_from_min_max(np.ones((1, 3)), np.zeros((1, 3)))


def test_the_class_column_is_refused(unchecked):
    with pytest.raises(ValueError, match=r"center_size must have shape \[\.\.\., 6\], got \[2, 7\]"):
        boxes_from_center_size(np.zeros((2, 7)))
    with pytest.raises(ValueError, match=r"boxes_from_min_max: lower must have shape"):
        boxes_from_min_max(np.zeros((2, 4)), np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"boxes_from_min_max: upper must have shape"):
        boxes_from_min_max(np.zeros((2, 3)), np.zeros((2, 4)))


def test_the_alignment_is_found_among_other_lines(tmp_path):
    path = tmp_path / "scene.txt"
    path.write_text(f"appVersionId = 3\naxisAlignment = {IDENTITY} \nsceneType = Office\n")
    assert read_axis_alignment(path).tolist() == np.eye(4).tolist()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "sceneType = Office\n",
            r"scene\.txt has no line axisAlignment; .* use np\.eye\(4\)",
        ),
        ("a = 1\naxisAlignment = 1 2 3\n", r"scene\.txt, line 2: expected 16 numbers, got 3; copy it again"),
        (
            f"axisAlignment = {IDENTITY[:-1]}x",
            r"scene\.txt, line 1: could not .*; copy the file again",
        ),
    ],
)
def test_damaged_files_are_named(tmp_path, text, message):
    path = tmp_path / "scene.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_axis_alignment(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file .*nowhere\.txt; expected scans/"):
        read_axis_alignment(tmp_path / "nowhere.txt")


@pytest.mark.real_data
def test_real_boxes_hold_points_only_after_the_alignment(real_data):
    root = real_data / "scannet"
    aligned_from_scan = read_axis_alignment(root / "scans" / "scene0000_00" / "scene0000_00.txt")
    folder = root / "scannet_instance_data"
    stored = np.load(folder / "scene0000_00_axis_align_matrix.npy", allow_pickle=False)
    assert np.allclose(aligned_from_scan, stored, atol=1e-6)
    vertices = np.load(folder / "scene0000_00_vert.npy", allow_pickle=False)[:, :3].astype(np.float64)
    table = np.load(folder / "scene0000_00_aligned_bbox.npy", allow_pickle=False)[:, :6].astype(np.float64)
    found = boxes_from_center_size(table)
    counts = boxes.contains(transforms.apply(aligned_from_scan, vertices), found).sum(axis=0)
    expected = [429, 139, 2746, 823, 3557, 792, 1754, 2670, 359, 117, 145, 116, 3434, 1244, 393, 481, 288]
    expected += [1852, 945, 1103, 255, 237, 384, 488, 312, 472, 443]
    assert counts.tolist() == expected
    assert np.sum(boxes.contains(vertices, found).sum(axis=0) == 0) == 22
