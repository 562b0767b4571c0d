import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from datasets3d import Frame, augment
from datasets3d.augment import RandomAugmentation
from datasets3d.kitti import KITTI_CLASSES, KittiDataset
from geom3d import boxes, cameras
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


@pytest.fixture(scope="session")
def frame(_template: Path) -> Frame:
    dense = np.array([[12.0, 2.0, -0.9, 0], [9.0, -2.0, -0.8, 1], [9.1, -2.0, -0.8, 1]], np.float32)
    return replace(KittiDataset(_template, "train")[0], dense_points=dense)


def pixels(frame: Frame) -> tuple[np.ndarray, np.ndarray]:
    camera = frame.cameras["image_2"]
    return cameras.project(frame.points[:, :3].astype(np.float64), camera.image_from_lidar)


@given(
    flip=st.booleans(),
    yaw_rad=st.floats(-math.pi, math.pi),
    factor=st.floats(0.5, 2.0),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_point_keeps_its_pixel(frame: Frame, flip: bool, yaw_rad: float, factor: float) -> None:
    config = RandomAugmentation(
        flip_probability=float(flip), rotation_rad=(yaw_rad, yaw_rad), scale=(factor, factor)
    )
    after = augment.augment(frame, config, np.random.default_rng(0))
    uv_before, depth_before = pixels(frame)
    uv_after, depth_after = pixels(after)
    if flip:
        uv_before[:, 0] = frame.cameras["image_2"].width - uv_before[:, 0]
    # Points are float32: micrometres at 40 m, and less than thousandths of a pixel near the camera.
    np.testing.assert_allclose(uv_after, uv_before, atol=2e-3)
    np.testing.assert_allclose(depth_after, depth_before, rtol=1e-5)


@given(flip=st.booleans(), yaw_rad=st.floats(-math.pi, math.pi), factor=st.floats(0.5, 2.0))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_boxes_keep_their_points_and_dense_points(
    frame: Frame, flip: bool, yaw_rad: float, factor: float
) -> None:
    config = RandomAugmentation(
        flip_probability=float(flip), rotation_rad=(yaw_rad, yaw_rad), scale=(factor, factor)
    )
    after = augment.augment(frame, config, np.random.default_rng(0))
    assert frame.objects is not None and after.objects is not None
    # Surface points lie 2 % inside the faces, farther than rounding moves them.
    np.testing.assert_array_equal(augment.count_points(after, after.objects), [200, 60])
    assert after.dense_points is not None
    inside = boxes.contains(
        after.dense_points[:, :3].astype(np.float64), after.objects.boxes_lidar.astype(np.float64)
    )
    assert inside.argmax(axis=1).tolist() == after.dense_points[:, 3].tolist() == [0, 1, 1]


def test_flipping_mirrors_the_picture_and_everything_in_it(frame: Frame) -> None:
    flipped = augment.flip_y(frame)
    np.testing.assert_array_equal(flipped.images["image_2"], frame.images["image_2"][:, ::-1])
    assert flipped.kitti is not None and flipped.kitti.dont_care_image is not None
    assert flipped.kitti.dont_care_image.tolist() == [[295.0, 6.0, 315.0, 16.0]]
    assert flipped.objects is not None and frame.objects is not None
    before, after = frame.objects.kitti, flipped.objects.kitti
    assert before is not None and after is not None
    assert before.boxes_image is not None and after.boxes_image is not None
    np.testing.assert_allclose(after.boxes_image[:, 0], 320 - before.boxes_image[:, 2])
    np.testing.assert_allclose(np.cos(after.alpha), -np.cos(before.alpha), atol=1e-6)
    np.testing.assert_allclose(np.sin(after.alpha), np.sin(before.alpha), atol=1e-6)
    np.testing.assert_allclose(flipped.objects.boxes_lidar[0], [12, -2, -0.9, 3.9, 1.6, 1.5, -0.1], atol=1e-3)


def test_flipping_twice_changes_nothing(frame: Frame) -> None:
    twice = augment.flip_y(augment.flip_y(frame))
    np.testing.assert_array_equal(twice.points, frame.points)
    np.testing.assert_array_equal(twice.images["image_2"], frame.images["image_2"])
    before, after = frame.cameras["image_2"], twice.cameras["image_2"]
    np.testing.assert_allclose(after.image_from_lidar, before.image_from_lidar, atol=1e-9)


def test_rotation_is_counter_clockwise() -> None:
    frame = Frame(frame_id="0", points=np.array([[1, 0, 0, 0.5]], np.float32))
    turned = augment.rotate_z(frame, math.pi / 2)
    np.testing.assert_allclose(turned.points, [[0, 1, 0, 0.5]], atol=1e-6)


def test_geometric_changes_drop_the_calibration(frame: Frame) -> None:
    assert frame.kitti is not None and frame.kitti.calibration is not None
    for changed in (augment.flip_y(frame), augment.rotate_z(frame, 0.1), augment.scale(frame, 1.1)):
        assert changed.kitti is not None and changed.kitti.calibration is None
        assert changed.kitti.road_plane is frame.kitti.road_plane is not None
    assert augment.shuffle_points(frame, np.random.default_rng(0)).kitti is frame.kitti


def test_the_same_seed_gives_the_same_frame(frame: Frame) -> None:
    one, two = (augment.augment(frame, RandomAugmentation(), np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(one.points, two.points)
    other = augment.augment(frame, RandomAugmentation(), np.random.default_rng(6))
    assert not np.array_equal(one.points, other.points)


def test_a_frame_without_labels_and_pictures_can_be_augmented() -> None:
    bare = Frame(frame_id="0", points=np.ones((1, 4), np.float32))
    after = augment.augment(bare, RandomAugmentation(flip_probability=1.0), np.random.default_rng(0))
    assert after.objects is None and after.points[0, 1] != 1.0
    assert len(augment.crop_range(bare, (0, 0, 0, 1, 1, 1)).points) == 0
    assert augment.filter_objects(bare, names=["Car"]) is bare


def test_crop_range_keeps_lower_bounds_and_boxes_with_a_corner_inside(frame: Frame) -> None:
    points = np.array([[0, 0, 0, 1], [10, 0, 0, 1], [5, 5, 0, 1]], np.float32)
    assert len(augment.crop_range(replace(frame, points=points), (0, 0, -1, 10, 5, 1)).points) == 1
    # The car reaches from x = 10 to 14, the pedestrian stands at 9.
    cropped = augment.crop_range(frame, (10.5, -40, -3, 70, 40, 1))
    assert cropped.objects is not None and cropped.objects.names == ("Car",)
    assert cropped.dense_points is not None and cropped.dense_points[:, 3].tolist() == [0]


def test_further_columns_stay_with_their_points(frame: Frame) -> None:
    numbers = np.arange(len(frame.points), dtype=np.float32)
    numbered = replace(
        frame, points=np.column_stack([frame.points, numbers]), point_columns=(*frame.point_columns, "number")
    )
    shuffled = augment.shuffle_points(numbered, np.random.default_rng(0))
    assert not np.array_equal(shuffled.points, numbered.points)
    np.testing.assert_array_equal(shuffled.points, numbered.points[shuffled.points[:, 4].astype(int)])
    config = RandomAugmentation(flip_probability=1.0, rotation_rad=(0.3, 0.3), scale=(1.1, 1.1))
    one, two = (augment.augment(f, config, np.random.default_rng(0)) for f in (numbered, frame))
    np.testing.assert_array_equal(one.points[:, :4], two.points)
    np.testing.assert_array_equal(one.points[:, 4], numbers)
    cropped = augment.crop_range(numbered, (10, -5, -3, 20, 5, 1))
    np.testing.assert_array_equal(cropped.points, numbered.points[cropped.points[:, 4].astype(int)])
    assert 0 < len(cropped.points) < len(numbers)


def test_objects_are_filtered_by_class_and_points(frame: Frame) -> None:
    def names(**rule: object) -> tuple[str, ...]:
        kept = augment.filter_objects(frame, **rule)  # pyright: ignore[reportArgumentType]
        assert kept.objects is not None
        return kept.objects.names

    assert names(names=["Pedestrian"]) == ("Pedestrian",)
    assert names(min_points=61) == ("Car",)
    assert names(min_points=60) == ("Car", "Pedestrian")
    assert names() == ("Car", "Pedestrian")


def test_dense_points_follow_their_renumbered_objects(frame: Frame) -> None:
    kept = augment.filter_objects(frame, names=["Pedestrian"])
    assert kept.dense_points is not None
    assert kept.dense_points[:, 3].tolist() == [0, 0]


def test_asking_for_an_unknown_class_names_the_nearest(frame: Frame) -> None:
    with pytest.raises(ValueError, match="unknown class 'car'; did you mean 'Car'"):
        augment.filter_objects(frame, names=["car"], known_names=KITTI_CLASSES)
    assert augment.filter_objects(frame, names=["robot"], known_names=("robot",)).objects is not None
    assert augment.filter_objects(frame, names=["car"]).objects is not None


def test_radar_is_refused(frame: Frame) -> None:
    with pytest.raises(ValueError, match="has radar returns, whose speeds"):
        augment.flip_y(replace(frame, radar=np.zeros((1, 5), np.float32)))


@pytest.mark.parametrize("bounds", [(0, 0, 0, 1, 1), (0, 0, 0, 1, 0, 1)])
def test_bad_bounds_are_named(frame: Frame, bounds: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="bounds must be x0 y0 z0 x1 y1 z1"):
        augment.crop_range(frame, bounds)


def test_a_factor_that_is_not_positive_is_named(frame: Frame) -> None:
    with pytest.raises(ValueError, match="factor must be positive, got 0"):
        augment.scale(frame, 0.0)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"flip_probability": 1.5}, r"flip_probability must lie in 0..1, got 1.5"),
        ({"rotation_rad": (1.0, 0.0)}, r"rotation_rad must be \(least, greatest\)"),
        ({"scale": (0.0, 1.0)}, "scale must be positive"),
    ],
)
def test_bad_settings_are_named(setting: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RandomAugmentation(**setting)


def test_filter_range_keeps_all_points_and_counts_those_inside(frame: Frame) -> None:
    # The car reaches from x = 10 to 14, the pedestrian stands at 9.
    kept = augment.filter_range(frame, (10.5, -40, -3, 70, 40, 1))
    assert kept.objects is not None and kept.objects.names == ("Car",)
    assert kept.points is frame.points
    assert kept.dense_points is not None and kept.dense_points[:, 3].tolist() == [0]
    assert frame.objects is not None
    inside = augment.points_in_boxes(frame.points, frame.objects.boxes_lidar)[:, 0]
    count = int((inside & (frame.points[:, 0] >= 10.5)).sum())
    assert 0 < count < int(inside.sum())
    for least, names in ((count, ("Car",)), (count + 1, ())):
        kept = augment.filter_range(frame, (10.5, -40, -3, 70, 40, 1), min_points=least)
        assert kept.objects is not None and kept.objects.names == names


def test_filter_range_includes_its_bounds_and_ignores_the_height_of_points(frame: Frame) -> None:
    box = np.array([[10.0, 0.0, 0.0, 2.0, 2.0, 2.0, 0.0]], np.float32)
    assert frame.objects is not None
    one = replace(frame, objects=replace(frame.objects.take([0]), boxes_lidar=box), dense_points=None)
    one = replace(one, points=np.array([[9.5, 0.5, 0.9, 0.0]], np.float32))

    def kept(bounds: tuple[float, ...], min_points: int = 0) -> int:
        objects = augment.filter_range(one, bounds, min_points=min_points).objects
        assert objects is not None
        return len(objects)

    assert kept((0, -1, -1, 9.0, 1, 1)) == 1
    assert kept((0, -1, -1, 8.99, 1, 1)) == 0
    assert kept((0, -1, -1, 9.5, 1, 0.5), 1) == 1  # the point lies above the range
    assert kept((0, -1, -1, 9.49, 1, 1), 1) == 0
    bare = replace(one, objects=None)
    assert augment.filter_range(bare, (0, 0, 0, 1, 1, 1)) is bare
    with pytest.raises(ValueError, match="filter_range: bounds must be x0 y0 z0 x1 y1 z1"):
        augment.filter_range(one, (0, 0, 0))


def test_a_centimetre_beside_a_box_still_counts_but_not_above() -> None:
    box = np.array([[0.0, 0.0, 0.0, 2.0, 2.0, 2.0, 0.0]], np.float32)
    near = np.array([[1.009, 0, 0], [0, -1.009, 0], [0, 0, 1.009], [1.011, 0, 0], [0, 0, 1.0]])
    assert augment.points_in_boxes(near, box)[:, 0].tolist() == [True, True, False, False, True]
