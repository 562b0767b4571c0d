from dataclasses import replace

import numpy as np
import pytest
from datasets3d.synth import CameraConfig, LabelConfig, LidarConfig, SynthConfig, observe, simulate_frame
from datasets3d.synth.layouts._kitti_calibration import calibration
from datasets3d.synth.layouts.labels import occlusion_class, silhouette_box
from datasets3d.synth.world.scene import world_mesh
from geom3d import boxes, cameras
from geom3d.overlap import iou_2d

CONFIG = SynthConfig(
    lidar=LidarConfig(
        elevations_deg=tuple(np.linspace(2, -24, 48).tolist()), azimuth_step_deg=0.4, dropout=0.0
    ),
    camera=CameraConfig(width=621, height=188),
)


def frame_of(scene, config=CONFIG):
    return observe(scene, config, lidar_rng=np.random.default_rng(0), camera_rng=np.random.default_rng(1))


def objects_of(frame):
    return [label for label in frame.labels if not label.is_dont_care]


def test_a_car_in_the_open_is_fully_visible(make_scene):
    (label,) = objects_of(frame_of(make_scene([(15.0, 1.0, 0.3)])))
    assert (label.name, label.occlusion, label.truncation) == ("Car", 0, 0.0)


def test_a_car_behind_a_high_wall_is_left_out(make_scene):
    assert frame_of(make_scene([(20.0, 0.0, 0.0)], [(12.0, 0.0, 12.0, 4.0)])).labels == []


@pytest.mark.slow
def test_a_car_seen_through_a_slit_is_largely_hidden_or_dont_care(make_scene):
    # Only a strip at the car's left shows beside the wall.
    frame = frame_of(make_scene([(20.0, 0.0, 0.0)], [(15.0, -4.5, 10.0, 4.0)]))
    seen = frame.visibilities[0]
    assert 0 < seen.visible_share < 0.5
    assert all(label.is_dont_care or label.occlusion >= 2 for label in frame.labels)


def test_a_car_behind_a_half_high_wall_is_partly_occluded(make_scene):
    frame = frame_of(make_scene([(20.0, 0.0, 0.0)], [(16.0, 0.0, 12.0, 0.75)]))
    (label,) = objects_of(frame)
    assert label.occlusion in (1, 2)
    assert frame.visibilities[0].visible_share < 0.85


def test_a_car_half_outside_is_truncated_by_half(make_scene):
    # At x = 12 m the picture ends about 9.9 m to the side; turned sideways, the car reaches half beyond.
    camera = calibration(width=621, height=188).camera(621, 188)
    inverse = np.linalg.inv(camera.image_from_lidar[:, :3])
    ray = inverse @ [0.0, 100.0, 1.0]
    y = 12.0 * ray[1] / ray[0]
    (label,) = objects_of(frame_of(make_scene([(12.0, y, np.pi / 2)])))
    assert label.truncation == pytest.approx(0.5, abs=0.1)
    assert label.box_image[0] == 0.0


def test_a_car_behind_the_camera_is_left_out(make_scene):
    assert frame_of(make_scene([(-15.0, 0.0, 0.0)])).labels == []


def test_a_far_car_becomes_dont_care(make_scene):
    frame = frame_of(make_scene([(60.0, 0.0, 0.0)]), replace(CONFIG, labels=LabelConfig(max_range_m=50.0)))
    (label,) = frame.labels
    assert label.is_dont_care
    assert frame.shapes == []


def test_the_silhouette_box_lies_inside_the_projected_3d_box(make_scene):
    scene = make_scene([(14.0, 3.0, 0.7)])
    camera = calibration(width=621, height=188).camera(621, 188)
    tight = silhouette_box(world_mesh(scene.actors[0]), camera)
    uv, _ = cameras.project(boxes.corners(scene.boxes_lidar)[0], camera.image_from_lidar)
    assert tight is not None
    assert (tight[:2] >= uv.min(axis=0) - 1e-6).all()
    assert (tight[2:] <= uv.max(axis=0) + 1e-6).all()


def test_a_car_across_the_image_plane_still_has_a_box(make_scene):
    scene = make_scene([(1.0, 2.0, 0.0)])
    camera = calibration(width=621, height=188).camera(621, 188)
    box = silhouette_box(world_mesh(scene.actors[0]), camera)
    assert box is not None
    assert np.isfinite(box).all()


@pytest.mark.parametrize(
    ("share", "expected"), [(1.0, 0), (0.85, 0), (0.84, 1), (0.5, 1), (0.49, 2), (0.19, 3), (0.0, 3)]
)
def test_occlusion_classes_part_at_the_limits(share, expected):
    assert occlusion_class(share, LabelConfig()) == expected


@pytest.fixture(scope="session")
def street_frames(small_config):
    # Labels do not depend on the light.
    config = replace(small_config, camera=CameraConfig(width=621, height=188, shadows=False))
    return [simulate_frame(config, seed=11, index=i) for i in range(6)]


@pytest.mark.slow
def test_visible_near_objects_hold_points(street_frames):
    checked = 0
    for frame in street_frames:
        for label, owner in zip(objects_of(frame), frame.label_actors, strict=True):
            inside = boxes.contains(
                frame.scan.points, frame.scene.boxes_lidar[owner : owner + 1], margin=0.05
            )
            if label.occlusion == 0 and frame.visibilities[owner].range_m < 30:
                assert inside.sum() > 5, label
                checked += 1
    assert checked >= 5


@pytest.mark.slow
def test_image_boxes_agree_with_the_projected_boxes(street_frames):
    overlaps = []
    for frame in street_frames:
        for label, owner in zip(objects_of(frame), frame.label_actors, strict=True):
            if label.truncation > 0.1 or frame.visibilities[owner].range_m > 45:
                continue
            uv, _ = cameras.project(
                boxes.corners(frame.scene.boxes_lidar)[owner], frame.camera.image_from_lidar
            )
            projected = np.concatenate([uv.min(axis=0), uv.max(axis=0)])[None]
            overlaps.append(iou_2d(projected, np.array([label.box_image]))[0, 0])
    assert len(overlaps) >= 8
    # People do not fill the corners of their boxes: KITTI's own figures for them are 0.81-0.96.
    assert np.mean(np.array(overlaps) > 0.8) > 0.85
    assert min(overlaps) > 0.6


@pytest.mark.slow
def test_lidar_points_of_an_object_fall_on_its_pixels(street_frames):
    agreeing = total = 0
    for frame in street_frames:
        for owner in frame.label_actors:
            if frame.visibilities[owner].visible_share < 0.85:
                continue
            own = frame.scan.points[frame.scan.instances == owner + 1, :3].astype(np.float64)
            uv, depth = cameras.project(own, frame.camera.image_from_lidar)
            inside = cameras.in_image(uv, depth, width=frame.camera.width - 1, height=frame.camera.height - 1)
            u, v = np.round(uv[inside]).astype(int).T
            agreeing += np.count_nonzero(frame.view.instances[v, u] == owner + 1)
            total += len(u)
    assert total > 100
    # The two sensors sit a hand's breadth apart and edges fall between pixels.
    assert agreeing / total > 0.85


@pytest.mark.slow
def test_shapes_lie_on_the_surface_inside_the_box(street_frames):
    for frame in street_frames:
        assert len(frame.shapes) == len(objects_of(frame)) == len(frame.label_actors)
        for shape, owner in zip(frame.shapes, frame.label_actors, strict=True):
            half = frame.scene.boxes_lidar[owner, 3:6] / 2
            assert shape.dtype == np.float32
            assert 256 <= len(shape) <= CONFIG.labels.shape_points
            assert (np.abs(shape) <= half + 1e-4).all()
            assert (np.ptp(shape, axis=0) > 1.6 * half).all()
