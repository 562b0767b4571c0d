from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from datasets3d import Frame, Objects, augment
from datasets3d.database import DatabaseEntry, ObjectDatabase, SamplingConfig, build_database, sample_objects
from datasets3d.kitti import KittiDataset, read_image
from geom3d import boxes, cameras, overlap
from geom3d import kitti as geom_kitti
from geom3d.cameras import PinholeCamera


@pytest.fixture(scope="session")
def database(_template: Path, tmp_path_factory: pytest.TempPathFactory) -> ObjectDatabase:
    folder = tmp_path_factory.mktemp("database") / "gt_database"
    frames = KittiDataset(_template, "train", crop_to_image=False)
    return build_database(frames, folder, split="train", progress=False)


@pytest.fixture(scope="session")
def target(_template: Path) -> Frame:
    """A frame with one van, and no road plane."""
    frame = KittiDataset(_template, "val")[0]
    assert frame.kitti is not None
    return replace(frame, kitti=replace(frame.kitti, road_plane=None))


ANY = SamplingConfig(
    counts={"Car": 3, "Pedestrian": 2, "Cyclist": 2}, excluded_difficulties=(), max_overlap_image=1.0
)


def sampled(frame: Frame, database: ObjectDatabase, config: SamplingConfig = ANY, seed: int = 0) -> Frame:
    return sample_objects(frame, database, config, np.random.default_rng(seed))


def labels(frame: Frame) -> Objects:
    assert frame.objects is not None
    return frame.objects


def boxes_in_picture(frame: Frame) -> np.ndarray:
    columns = labels(frame).kitti
    assert columns is not None and columns.boxes_image is not None
    return columns.boxes_image


def with_boxes_in_picture(frame: Frame, found: object) -> Frame:
    columns = labels(frame).kitti
    assert columns is not None
    columns = replace(columns, boxes_image=np.array(found, np.float32))
    return replace(frame, objects=replace(labels(frame), kitti=columns))


def only(database: ObjectDatabase, *source_ids: str, **changed: object) -> ObjectDatabase:
    kept = [e for e in database.entries if e.source_id in source_ids]
    return ObjectDatabase(database.folder, tuple(replace(e, **changed) for e in kept), database.cameras)


def test_objects_of_the_wanted_classes_are_added_behind_the_old_ones(
    target: Frame, database: ObjectDatabase
) -> None:
    objects = labels(sampled(target, database))
    assert objects.names[0] == "Van"
    assert objects.names[1:] == ("Car", "Car", "Car", "Pedestrian", "Cyclist")
    assert objects.source_id is not None
    assert set(objects.source_id[1:]) == {"000000_0", "000000_1", "000001_0", "000001_1", "000001_2"}


def test_an_object_in_the_way_of_a_labelled_one_is_rejected(target: Frame, database: ObjectDatabase) -> None:
    van = labels(target)
    moved = replace(van, boxes_lidar=van.boxes_lidar - np.array([2.0, 0, 0, 0, 0, 0, 0], np.float32))
    objects = labels(sampled(replace(target, objects=moved), database))
    assert sorted(objects.names[1:]) == ["Car", "Car", "Car", "Pedestrian"]


def test_nothing_stands_in_anything_else(target: Frame, database: ObjectDatabase) -> None:
    found = labels(sampled(target, database)).boxes_lidar.astype(np.float64)
    common = overlap.intersection_bev(found, found)
    np.fill_diagonal(common, 0.0)
    assert common.max() == 0.0


def test_candidates_that_touch_each_other_are_both_rejected(target: Frame, database: ObjectDatabase) -> None:
    twice = only(database, "000000_0")
    twice = replace(twice, entries=(*twice.entries, *twice.entries))
    assert labels(
        sampled(target, twice, SamplingConfig(counts={"Car": 2}, excluded_difficulties=()))
    ).names == ("Van",)


def test_objects_already_there_count(target: Frame, database: ObjectDatabase) -> None:
    full = replace(target, objects=replace(labels(target), names=("Pedestrian",)))
    config = replace(ANY, counts={"Pedestrian": 1})
    assert sampled(full, database, config) is full


def test_few_points_and_excluded_difficulties_are_not_drawn(target: Frame, database: ObjectDatabase) -> None:
    config = replace(ANY, counts={"Car": 9}, min_points=100)
    assert labels(sampled(target, database, config)).source_id[1:] in (  # pyright: ignore[reportOptionalSubscript]
        ("000000_0", "000001_0"),
        ("000001_0", "000000_0"),
    )
    levels = tuple(set(database.difficulty.tolist()))
    assert sampled(target, database, replace(ANY, excluded_difficulties=levels)) is target


def test_with_the_same_camera_boxes_and_points_stay_as_they_were(
    target: Frame, database: ObjectDatabase
) -> None:
    car = only(database, "000000_0")
    after = sampled(target, car, replace(ANY, counts={"Car": 1}))
    np.testing.assert_allclose(labels(after).boxes_lidar[1], car.entries[0].box_lidar, atol=1e-5)
    expected = car.points(car.entries[0])[:, :3] + np.array(car.entries[0].box_lidar[:3])
    distance = np.linalg.norm(after.points[:, None, :3] - expected[None], axis=2).min(axis=0)
    # Points seen at the very edge of the pasted box may fall outside its pixels.
    assert (distance < 1e-4).mean() > 0.95


def test_the_picture_shows_the_object(target: Frame, database: ObjectDatabase, _template: Path) -> None:
    after = sampled(target, only(database, "000000_0"), replace(ANY, counts={"Car": 1}))
    boxes_image = boxes_in_picture(after)
    u0, v0, u1, v1 = boxes_image[1].round().astype(int)
    source = read_image(_template / "training/image_2/000000.png")
    np.testing.assert_array_equal(
        after.images["image_2"][v0 + 2 : v1 - 2, u0 + 2 : u1 - 2], source[v0 + 2 : v1 - 2, u0 + 2 : u1 - 2]
    )
    assert not np.array_equal(target.images["image_2"], after.images["image_2"])


def test_scene_points_in_the_new_box_go(target: Frame, database: ObjectDatabase) -> None:
    car = only(database, "000000_0")
    centre = np.array(car.entries[0].box_lidar[:3])
    intruder = np.array([[*centre, 0.123], [centre[0] + 9.0, *centre[1:], 0.456]], np.float32)
    after = sampled(replace(target, points=intruder), car, replace(ANY, counts={"Car": 1}))
    assert 0.123 not in after.points[:, 3].round(3)
    assert 0.456 in after.points[:, 3].round(3)


def test_another_camera_sees_the_object_at_its_pixels(target: Frame, database: ObjectDatabase) -> None:
    car = only(database, "000000_0")
    seen_by = target.cameras["image_2"]
    cam_from_lidar = np.array(seen_by.cam_from_lidar)
    cam_from_lidar[:3, 3] += [0.3, -0.1, 0.4]
    camera = PinholeCamera(
        image_from_cam=np.array(seen_by.image_from_cam) * [[1.03], [1.03], [1.0]],
        cam_from_lidar=cam_from_lidar,
        width=320,
        height=96,
    )
    after = sampled(replace(target, cameras={"image_2": camera}), car, replace(ANY, counts={"Car": 1}))
    box = labels(after).boxes_lidar[1].astype(np.float64)
    source = car.cameras["000000"]
    corners = boxes.corners(np.array(car.entries[0].box_lidar))
    uv, depth_m = cameras.project(corners, source.image_from_lidar)
    uv_now, depth_now = cameras.project(boxes.corners(box), camera.image_from_lidar)
    # A refitted box is upright and rectangular again, so its corners only come near.
    np.testing.assert_allclose(uv_now, uv, atol=3.0)
    np.testing.assert_allclose(depth_now, depth_m, atol=0.1)
    assert np.abs(box[:3] - car.entries[0].box_lidar[:3]).max() > 0.2
    inside = boxes.contains(after.points[:, :3].astype(np.float64), box[None], margin=0.05)[:, 0]
    assert inside.sum() >= labels(after).num_points[1] > 150  # pyright: ignore[reportOptionalSubscript]


def test_points_behind_a_later_paste_go(target: Frame, database: ObjectDatabase) -> None:
    """The pedestrian is pasted after the car; both are moved so that it hides part of the car."""
    car, pedestrian = only(database, "000000_0").entries[0], only(database, "000000_1").entries[0]
    moved = replace(pedestrian, box_lidar=(8.0, 1.4, *pedestrian.box_lidar[2:]))
    pair = ObjectDatabase(database.folder, (car, moved), database.cameras)
    config = replace(ANY, counts={"Car": 1, "Pedestrian": 1})
    clear = replace(target, objects=Objects.empty())
    alone = sampled(clear, replace(pair, entries=(car,)), replace(config, counts={"Car": 1}))
    both = sampled(clear, pair, config)
    visible, visible_alone = labels(both).num_points, labels(alone).num_points
    assert visible is not None and visible_alone is not None
    assert 0 < visible[0] < visible_alone[0]
    hidden_box = boxes_in_picture(both)[1]
    car_box = labels(both).boxes_lidar[:1].astype(np.float64)
    left = both.points[boxes.contains(both.points[:, :3].astype(np.float64), car_box)[:, 0]]
    left = left[: int(visible[0])]
    uv, _ = cameras.project(left[:, :3].astype(np.float64), both.cameras["image_2"].image_from_lidar)
    behind = ((uv > hidden_box[:2] + 1) & (uv < hidden_box[2:] - 1)).all(axis=1)
    # Only pasted points are looked at: scene points stay even behind a pasted picture.
    assert behind.sum() == 0


def test_a_candidate_that_covers_a_labelled_object_is_rejected(
    target: Frame, database: ObjectDatabase
) -> None:
    car = only(database, "000000_0")
    hidden = with_boxes_in_picture(target, [car.entries[0].labelled_image().box_image])
    strict = replace(ANY, counts={"Car": 1}, max_overlap_image=0.5)
    assert sampled(hidden, car, strict) is hidden
    assert len(labels(sampled(target, car, strict))) == 2


def test_one_that_stands_in_the_way_still_hides_others_of_its_class(
    target: Frame, database: ObjectDatabase
) -> None:
    """The nearer car stands in the van and goes; the farther one is seen behind it, so it goes too."""
    near, other = (only(database, source_id).entries[0] for source_id in ("000000_0", "000001_0"))
    x, y, z, *size, yaw = near.box_lidar
    crowded = with_boxes_in_picture(target, [[2000.0, 0.0, 2001.0, 1.0]])
    moved = np.array([[x - 2, y, z, *size, yaw]], np.float32)
    crowded = replace(crowded, objects=replace(labels(crowded), boxes_lidar=moved))
    config = replace(ANY, counts={"Car": 2}, max_overlap_image=0.5)
    behind = (1.4 * x, 1.4 * y, 1.4 * z, *(1.4 * edge for edge in size), yaw)
    for box, admitted in ((behind, 0), ((26.0, 4.4, z, *size, yaw), 1)):
        pair = replace(database, entries=(near, replace(other, box_lidar=box)))
        assert len(labels(sampled(crowded, pair, config))) - 1 == admitted


def test_the_frames_own_camera_decides_what_hides_what(target: Frame, database: ObjectDatabase) -> None:
    """Seen by its own camera the car would hide the labelled object; seen by the frame's it does not."""
    car = only(database, "000000_0")
    seen_by = target.cameras["image_2"]
    shifted = np.array(seen_by.image_from_cam)
    shifted[0, 2] += 60.0
    camera = replace(seen_by, image_from_cam=shifted)
    box = np.array(car.entries[0].box_lidar)[None]
    strict = replace(ANY, counts={"Car": 1}, max_overlap_image=0.5)
    for shown_to, admitted in ((seen_by, 1), (camera, 0)):
        hidden = geom_kitti.boxes_image_from_lidar(box, shown_to).astype(np.float32)
        frame = replace(with_boxes_in_picture(target, hidden), cameras={"image_2": camera})
        assert len(labels(sampled(frame, car, strict))) - 1 == admitted


def test_points_beside_the_picture_stay_with_an_object_at_its_border(
    target: Frame, database: ObjectDatabase
) -> None:
    """A car cut off by the picture's border has points that the camera does not see: they are pasted too."""
    car = only(database, "000000_0")
    cut = replace(car.entries[0], box_lidar=(12.0, 10.3, *car.entries[0].box_lidar[2:]))
    pair = replace(car, entries=(cut,))
    clear = replace(target, objects=Objects.empty())
    after = sampled(clear, pair, replace(ANY, counts={"Car": 1}))
    count = labels(after).num_points
    assert count is not None and count[0] > 0
    uv, _ = cameras.project(
        after.points[: int(count[0]), :3].astype(np.float64), after.cameras["image_2"].image_from_lidar
    )
    assert 0 < (uv[:, 0] < 0).sum() < count[0]


def test_scene_points_a_centimetre_beside_the_box_go_those_under_its_lowered_roof_stay(
    target: Frame, database: ObjectDatabase
) -> None:
    car = only(database, "000000_0")
    box = np.array(car.entries[0].box_lidar)
    local = np.array(
        [[0.5 * box[3] + 0.009, 0, 0], [0.5 * box[3] + 0.011, 0, 0], [0, 0, 0.5 * box[5] - 0.09]]
    )
    scene = boxes.from_canonical(local, box)
    marked = np.column_stack([scene, [0.11, 0.22, 0.33]]).astype(np.float32)
    after = sampled(replace(target, points=marked), car, replace(ANY, counts={"Car": 1}))
    left = after.points[-2:, 3]
    np.testing.assert_allclose(left, [0.22, 0.33])
    assert len(after.points) == 2 + int(labels(after).num_points[0 + 1])  # pyright: ignore[reportOptionalSubscript]


def test_objects_stand_on_the_road(_template: Path, database: ObjectDatabase) -> None:
    frame = KittiDataset(_template, "val")[0]
    after = sampled(frame, database, replace(ANY, counts={"Car": 3}))
    box = labels(after).boxes_lidar[1:].astype(np.float64)
    assert len(box) == 3 and frame.kitti is not None and frame.kitti.road_plane is not None
    bottom = box[:, :3] - box[:, 5:6] * [[0, 0, 0.5]]
    camera = frame.cameras["image_2"]
    cam = bottom @ camera.cam_from_lidar[:3, :3].T + camera.cam_from_lidar[:3, 3]
    height = cam @ frame.kitti.road_plane[:3] + frame.kitti.road_plane[3]
    np.testing.assert_allclose(height, 0.0, atol=0.05)
    # The template's cars float 1.5 cm to 5 cm off this road: they did move.
    assert np.abs(box[:, 2] + 0.9).max() > 0.01


def test_pasted_points_bring_their_further_columns(
    target: Frame, database: ObjectDatabase, _template: Path, tmp_path: Path
) -> None:
    def lagging(frame: Frame, lag_s: float) -> Frame:
        points = np.column_stack([frame.points, np.full(len(frame.points), lag_s)]).astype(np.float32)
        return replace(frame, points=points, point_columns=(*frame.point_columns, "lag"))

    frames = [lagging(frame, 0.5) for frame in KittiDataset(_template, "train", crop_to_image=False)]
    lagging_database = build_database(frames, tmp_path / "objects", split="train", progress=False)
    after = sampled(lagging(target, 0.0), lagging_database)
    plain = sampled(target, database)
    np.testing.assert_array_equal(after.points[:, :4], plain.points)
    pasted = labels(after).num_points
    assert pasted is not None
    assert (after.points[:, 4] == 0.5).sum() == pasted[1:].sum() > 0
    assert set(after.points[:, 4].tolist()) == {0.0, 0.5}


def test_the_same_seed_gives_the_same_frame(target: Frame, database: ObjectDatabase) -> None:
    one, two = sampled(target, database, seed=3), sampled(target, database, seed=3)
    np.testing.assert_array_equal(one.points, two.points)
    np.testing.assert_array_equal(one.images["image_2"], two.images["image_2"])


def test_a_frame_without_picture_gets_the_points(target: Frame, database: ObjectDatabase) -> None:
    after = sampled(replace(target, images={}), only(database, "000000_0"), replace(ANY, counts={"Car": 1}))
    assert len(labels(after)) == 2 and dict(after.images) == {}


@pytest.mark.parametrize("place", [(-9.0, 0.5), (6.0, 40.0)])
def test_an_object_that_the_frames_camera_does_not_see_is_not_pasted(
    target: Frame, database: ObjectDatabase, place: tuple[float, float]
) -> None:
    """Behind the camera, and far beside its picture."""
    car = only(database, "000000_0")
    away = replace(car.entries[0], box_lidar=(*place, *car.entries[0].box_lidar[2:]))
    assert sampled(target, replace(car, entries=(away,)), replace(ANY, counts={"Car": 1})) is target


def test_unfit_frames_are_refused(target: Frame, database: ObjectDatabase) -> None:
    with pytest.raises(ValueError, match="frame 000002 has no labels"):
        sampled(replace(target, objects=None), database)
    with pytest.raises(ValueError, match=r"has cameras \[\]; exactly one"):
        sampled(replace(target, cameras={}, images={}), database)
    lagging = replace(target, point_columns=("x", "y", "z", "lag"))
    message = "frame 000002 have the columns x y z lag, those of the database have x y z intensity"
    with pytest.raises(ValueError, match=message):
        sampled(lagging, database)
    for changed in (augment.flip_y(target), augment.scale(target, 1.05)):
        with pytest.raises(ValueError, match="was flipped or scaled before"):
            sampled(changed, database)


def test_an_unknown_class_gets_the_nearest_name(target: Frame, database: ObjectDatabase) -> None:
    with pytest.raises(ValueError, match="unknown class 'Cars'; did you mean 'Car'"):
        sampled(target, database, SamplingConfig(counts={"Cars": 1}))


def test_a_class_that_the_database_happens_to_lack_is_skipped(
    target: Frame, database: ObjectDatabase
) -> None:
    assert sampled(target, database, SamplingConfig(counts={"Tram": 1})) is target


def test_bad_settings_are_named() -> None:
    with pytest.raises(ValueError, match=r"counts\['Car'\] must not be negative, got -1"):
        SamplingConfig(counts={"Car": -1})
    with pytest.raises(ValueError, match=r"max_overlap_image must lie in 0..1, got 2"):
        SamplingConfig(max_overlap_image=2.0)


@pytest.mark.real_data
def test_real_objects_paste_into_a_real_frame(real_kitti: Path, tmp_path: Path) -> None:
    frames = KittiDataset(real_kitti, "trainval", crop_to_image=False)
    database = build_database(frames, tmp_path / "gt_database", split="trainval", progress=False)
    assert len(database.entries) == 16
    frame = KittiDataset(real_kitti, "trainval")[0]
    config = SamplingConfig(counts={"Car": 8, "Pedestrian": 2, "Cyclist": 1}, excluded_difficulties=())
    after = sample_objects(frame, database, config, np.random.default_rng(1))
    new = range(1, len(labels(after)))
    assert len(new) >= 4
    counted = augment.count_points(after, labels(after))
    for i in new:
        kept = labels(after).num_points[i]  # pyright: ignore[reportOptionalSubscript]
        # Refitting turns and stretches a box by some millimetres, which may cut off a point at its faces.
        assert counted[i] >= 0.9 * kept


def test_entry_names_its_dense_target(database: ObjectDatabase) -> None:
    entry: DatabaseEntry = database.entries[1]
    assert entry.source_id == "000000_1" and entry.stem == "000000_Pedestrian_1"
