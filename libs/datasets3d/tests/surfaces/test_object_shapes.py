import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from datasets3d import augment
from datasets3d.database import SamplingConfig, sample_objects
from datasets3d.kitti import KittiDataset
from datasets3d.prepare import cut_objects
from datasets3d.surfaces import ObjectShapes, add_dense_points
from datasets3d.surfaces.build import build_shapes
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


def test_an_object_without_a_file_has_no_target(tiny_root: Path) -> None:
    write_shape(tiny_root, "000001_0", np.ones((2, 3), np.float32))
    frame = add_dense_points(KittiDataset(tiny_root, "train")[0], ObjectShapes.read(tiny_root))
    assert frame.dense_points is not None and frame.dense_points.shape == (0, 4)
    unlabelled = KittiDataset(tiny_root, "test")[0]
    assert add_dense_points(unlabelled, ObjectShapes.read(tiny_root)) is unlabelled


def test_a_tree_without_any_targets_is_refused_with_the_cure(tiny_root: Path) -> None:
    cure = rf"python -m datasets3d complete kitti --root {tiny_root}"
    with pytest.raises(FileNotFoundError, match=rf"no training/object_shapes and no train_mirror.*{cure}"):
        ObjectShapes.read(tiny_root)
    (tiny_root / "training/object_shapes.partial").mkdir()
    (tiny_root / "training/object_shapes.partial/.incomplete").touch()
    with pytest.raises(FileNotFoundError, match="only the unfinished"):
        ObjectShapes.read(tiny_root)


def write_published(root: Path, folder: str, name: str, points: np.ndarray) -> None:
    path = root / folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(points, protocol=4))


def test_published_targets_stand_for_ours(tiny_root: Path) -> None:
    target, other = np.full((2, 3), 0.25, np.float32), np.full((1, 3), 0.5, np.float32)
    parent = "train_mirror_target"
    write_published(tiny_root, f"{parent}/bm_50maxdist_2num_Car", "1_1.pkl", target)
    with pytest.raises(FileNotFoundError, match=r"\{bm_5maxdist_2num_Pedestrian,bm_5maxdist_2num_Cyclist\}"):
        ObjectShapes.read(tiny_root)
    shapes = ObjectShapes.read(tiny_root, classes=["Car", "Van"])
    np.testing.assert_array_equal(shapes.load("000001_1"), target)
    assert shapes.load("000001_0") is None and shapes.load("left_1") is None
    write_shape(tiny_root, "000001_0", other)
    ours = ObjectShapes.read(tiny_root)
    np.testing.assert_array_equal(ours.load("000001_0"), other)
    assert ours.load("000001_1") is None


@pytest.mark.parametrize(
    "folders",
    [
        [
            "Train_Mirror_Target/bm_50maxdist_2num_car",
            "bm_5maxdist_2num_PEDESTRIAN",
            "bm_5maxdist_1num_Cyclist",
        ],
        [
            "train_mirror_target/bm_50MaxDist_1num_car",
            "BM_5maxdist_2num_pedestrian",
            "bm_5maxdist_2num_cyclist",
        ],
    ],
)
def test_folders_are_found_in_any_case_and_with_one_donor(tiny_root: Path, folders: list[str]) -> None:
    for index, folder in enumerate(folders):
        write_published(tiny_root, folder, f"0_{index}.pkl", np.full((1, 3), index, np.float32))
    shapes = ObjectShapes.read(tiny_root)
    found = [shapes.load(f"000000_{index}") for index in range(3)]
    assert [float(points[0, 0]) for points in found if points is not None] == [0.0, 1.0, 2.0]


def test_two_donors_and_the_exact_name_go_first(tiny_root: Path) -> None:
    names = ("bm_50maxdist_1num_Car", "bm_50maxdist_2num_car", "bm_50maxdist_2num_Car")
    for index, name in enumerate(names):
        write_published(
            tiny_root, f"train_mirror_target/{name}", "0_0.pkl", np.full((1, 3), index, np.float32)
        )
        shape = ObjectShapes.read(tiny_root, classes=["Car"]).load("000000_0")
        assert shape is not None and shape[0, 0] == index


def test_pasted_objects_bring_their_targets(tiny_root: Path) -> None:
    dataset = KittiDataset(tiny_root, "train")
    database = cut_objects(tiny_root, "train", progress=False)
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
    database = cut_objects(tiny_root, "train", progress=False)
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
    write_shape(tiny_root, "000000_0", np.zeros((1, 3), np.float32))
    assert frame.objects is not None
    nameless = replace(frame, objects=replace(frame.objects, source_id=None))
    assert add_dense_points(nameless, ObjectShapes.read(tiny_root)) is nameless
