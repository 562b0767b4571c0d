from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from datasets3d import augment
from datasets3d.database import SamplingConfig, build_database, sample_objects
from datasets3d.kitti import KittiDataset
from datasets3d.shapes import ObjectShapes, add_dense_points, build_shapes
from geom3d import boxes


def write_shape(root: Path, source_id: str, points: np.ndarray) -> None:
    folder = root / "training/object_shapes"
    folder.mkdir(exist_ok=True)
    np.save(folder / f"{source_id}.npy", points)


def test_shapes_are_placed_at_their_objects(tiny_root: Path) -> None:
    write_shape(tiny_root, "000000_1", np.array([[0.4, 0.0, 0.0], [0.0, 0.3, 0.85]], np.float32))
    frame = add_dense_points(KittiDataset(tiny_root, "train")[0], ObjectShapes.read(tiny_root))
    assert frame.dense_points is not None
    cos, sin = np.cos(1.0), np.sin(1.0)
    expected = [[9 + 0.4 * cos, -2 + 0.4 * sin, -0.8, 1], [9 - 0.3 * sin, -2 + 0.3 * cos, 0.05, 1]]
    np.testing.assert_allclose(frame.dense_points, expected, atol=1e-3)


def test_without_a_folder_there_are_no_targets(tiny_root: Path) -> None:
    frame = add_dense_points(KittiDataset(tiny_root, "train")[0], ObjectShapes.read(tiny_root))
    assert frame.dense_points is not None and frame.dense_points.shape == (0, 4)
    unlabelled = KittiDataset(tiny_root, "test")[0]
    assert add_dense_points(unlabelled, ObjectShapes.read(tiny_root)) is unlabelled


def test_pasted_objects_bring_their_targets(tiny_root: Path) -> None:
    dataset = KittiDataset(tiny_root, "train")
    database = build_database(dataset, tiny_root / "gt_database", progress=False)
    write_shape(tiny_root, "000001_2", np.zeros((3, 3), np.float32))
    config = SamplingConfig(counts={"Cyclist": 1}, excluded_difficulties=(), max_overlap_image=1.0)
    frame = sample_objects(dataset[0], database, config, np.random.default_rng(0))
    frame = add_dense_points(frame, ObjectShapes.read(tiny_root))
    assert frame.objects is not None and frame.dense_points is not None
    assert frame.objects.names[2] == "Cyclist"
    np.testing.assert_array_equal(frame.dense_points[:, 3], [2, 2, 2])
    np.testing.assert_allclose(frame.dense_points[0, :3], frame.objects.boxes_lidar[2, :3])


def test_completed_shapes_lie_in_their_boxes_and_hold_the_seen_points(tiny_root: Path) -> None:
    dataset = KittiDataset(tiny_root, "train")
    database = build_database(dataset, tiny_root / "gt_database", progress=False)
    assert build_shapes(database, tiny_root / "training/object_shapes", progress=False) == 5
    frame = add_dense_points(dataset[0], ObjectShapes.read(tiny_root))
    assert frame.objects is not None and frame.dense_points is not None
    assert set(frame.dense_points[:, 3].tolist()) == {0.0, 1.0}
    inside = boxes.contains(
        frame.dense_points[:, :3].astype(np.float64), frame.objects.boxes_lidar.astype(np.float64), margin=0.3
    )
    # Donors' points are not cut to the box (as published): they may stick out by the difference of the boxes.
    assert inside[np.arange(len(inside)), frame.dense_points[:, 3].astype(int)].all()
    assert (frame.dense_points[:, 3] == 0).sum() > 200


def test_targets_follow_the_augmentation(tiny_root: Path) -> None:
    write_shape(tiny_root, "000000_0", np.array([[1.0, 0.5, 0.2]], np.float32))
    frame = add_dense_points(KittiDataset(tiny_root, "train")[0], ObjectShapes.read(tiny_root))
    moved = augment.scale(augment.rotate_z(augment.flip_y(frame), 0.3), 1.1)
    assert moved.dense_points is not None and moved.objects is not None
    box = moved.objects.boxes_lidar[:1].astype(np.float64)
    local = boxes.to_canonical(moved.dense_points[:, :3].astype(np.float64), box[0]) / 1.1
    np.testing.assert_allclose(local, [[1.0, -0.5, 0.2]], atol=1e-4)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.zeros((2, 3)), r"000000_0\.npy: expected float32 of shape \(n, 3\), got float64 \(2, 3\)"),
        (np.zeros((2, 4), np.float32), r"got float32 \(2, 4\)"),
        (np.array([{"a": 1}], dtype=object), r"000000_0\.npy is no readable array"),
    ],
)
def test_a_foreign_file_is_named_and_never_unpickled(
    tiny_root: Path, content: np.ndarray, message: str
) -> None:
    write_shape(tiny_root, "000000_0", content)
    with pytest.raises(ValueError, match=message):
        ObjectShapes.read(tiny_root).load("000000_0")


def test_an_unfinished_folder_is_refused(tiny_root: Path) -> None:
    write_shape(tiny_root, "000000_0", np.zeros((1, 3), np.float32))
    (tiny_root / "training/object_shapes/.incomplete").touch()
    with pytest.raises(ValueError, match="is incomplete"):
        ObjectShapes.read(tiny_root)


def test_objects_without_source_get_no_target(tiny_root: Path) -> None:
    frame = KittiDataset(tiny_root, "train")[0]
    assert frame.objects is not None
    nameless = replace(frame, objects=replace(frame.objects, source_id=None))
    assert add_dense_points(nameless, ObjectShapes.read(tiny_root)) is nameless
