from functools import partial

import numpy as np
import pytest
from datasets3d.nuscenes import CAMERAS, LIDAR
from datasets3d.synth import CameraConfig, NuscenesSynthConfig
from datasets3d.synth.sensors.rig import RADAR_CHANNELS, nuscenes_rig
from geom3d import cameras, transforms

RIG = nuscenes_rig(NuscenesSynthConfig())


def test_the_car_has_twelve_sensors():
    assert list(RIG) == [LIDAR, *CAMERAS, *RADAR_CHANNELS]
    assert all(sensor.channel == name for name, sensor in RIG.items())


def test_lidar_looks_forward_along_y():
    right, forward, up = RIG[LIDAR].calibration.matrix[:3, :3].T
    np.testing.assert_allclose(right, [0, -1, 0], atol=0.03)
    np.testing.assert_allclose(forward, [1, 0, 0], atol=0.03)
    np.testing.assert_allclose(up, [0, 0, 1], atol=0.03)


@pytest.mark.parametrize(
    ("channel", "axis", "yaw_deg"),
    [
        ("CAM_FRONT", 2, 0.3),
        ("CAM_FRONT_RIGHT", 2, -56.0),
        ("CAM_BACK_LEFT", 2, 108.5),
        ("CAM_BACK", 2, 180.0),
        ("RADAR_FRONT_LEFT", 0, 90.0),
        ("RADAR_BACK_RIGHT", 0, -176.0),
    ],
)
def test_sensors_look_where_their_name_says(channel, axis, yaw_deg):
    x, y, z = RIG[channel].calibration.matrix[:3, axis]
    assert np.cos(np.arctan2(y, x) - np.deg2rad(yaw_deg)) == pytest.approx(1.0, abs=1e-4)
    assert abs(z) < 0.02


def test_cameras_stand_upright():
    for channel in CAMERAS:
        assert RIG[channel].calibration.matrix[2, 1] < -0.999  # the picture's v axis points down


def test_rotations_are_unit_quaternions():
    for sensor in RIG.values():
        assert np.linalg.norm(sensor.calibration.rotation) == pytest.approx(1.0, abs=1e-12)


def test_the_six_cameras_see_all_round():
    angle = np.deg2rad(np.arange(0.0, 360.0, 1.0))
    points = np.stack([1.0 + 30 * np.cos(angle), 30 * np.sin(angle), np.full_like(angle, 1.5)], axis=1)
    seen = np.zeros(len(points), dtype=bool)
    for channel in CAMERAS:
        camera = RIG[channel].camera(np.eye(4))
        uv, depth = cameras.project(points, camera.image_from_lidar)
        seen |= cameras.in_image(uv, depth, width=1600, height=900)
    assert seen.all()


def test_field_of_view_does_not_depend_on_the_size():
    config = NuscenesSynthConfig(camera=CameraConfig(width=400, height=225), cameras=("CAM_BACK",))
    small = nuscenes_rig(config)["CAM_BACK"].camera(np.eye(4))
    point = np.array([[-20.0, 3.0, 1.0]])
    full, _ = cameras.project(point, RIG["CAM_BACK"].camera(np.eye(4)).image_from_lidar)
    quarter, _ = cameras.project(point, small.image_from_lidar)
    np.testing.assert_allclose(quarter * 4, full)
    assert (small.width, small.height) == (400, 225)


def test_a_camera_moves_with_the_car():
    world_from_ego = transforms.from_parts(
        np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]), np.array([100.0, 50.0, 2.0])
    )
    point_ego = np.array([[15.0, 1.0, 0.5]])
    camera, moved = RIG["CAM_FRONT"].camera(np.eye(4)), RIG["CAM_FRONT"].camera(world_from_ego)
    before, _ = cameras.project(point_ego, camera.image_from_lidar)
    after, _ = cameras.project(transforms.apply(world_from_ego, point_ego), moved.image_from_lidar)
    np.testing.assert_allclose(after, before, atol=1e-9)


def test_only_cameras_have_a_camera():
    with pytest.raises(ValueError, match="LIDAR_TOP has no intrinsic, it is no camera"):
        RIG[LIDAR].camera(np.eye(4))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            partial(NuscenesSynthConfig, cameras=("CAM_TOP",)),
            r"cameras must be different ones of .*, got \('CAM_TOP",
        ),
        (partial(NuscenesSynthConfig, cameras=("CAM_FRONT", "CAM_FRONT")), "must be different ones"),
        (partial(NuscenesSynthConfig, key_frames=0), "key_frames must be at least 1, got 0"),
        (partial(NuscenesSynthConfig, key_interval_s=0.0), "key_interval_s must be positive, got 0.0"),
        (partial(NuscenesSynthConfig, lidar_sweeps=-1), "lidar_sweeps must be at least 0, got -1"),
        (partial(NuscenesSynthConfig, radar_sweeps=-1), "radar_sweeps must be at least 0, got -1"),
    ],
)
def test_bad_values_are_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()
