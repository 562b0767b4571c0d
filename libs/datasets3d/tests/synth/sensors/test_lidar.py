from dataclasses import replace

import numpy as np
import pytest
from datasets3d.synth import LidarConfig, scan
from datasets3d.synth.sensors.lidar import ray_directions
from datasets3d.synth.sensors.rays import RayCaster

PLAIN = LidarConfig(
    elevations_deg=tuple(np.linspace(2, -24, 24).tolist()),
    azimuth_step_deg=1.0,
    dropout=0.0,
    glass_dropout=0.0,
)


def scan_of(scene, config, seed=0):
    caster = RayCaster(scene.mesh.vertices, scene.mesh.faces)
    return scan(scene, caster, config, rng=np.random.default_rng(seed))


def test_directions_are_unit_and_go_counter_clockwise_from_ahead():
    directions = ray_directions(PLAIN).reshape(24, 360, 3)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=-1), 1, atol=1e-6)
    assert directions[0, 0, 1] == 0
    assert directions[0, 1, 1] > 0


def test_range_noise_has_the_configured_spread(make_scene):
    scene = make_scene([], [(10.0, 0.0, 30.0, 6.0)])
    config = replace(PLAIN, elevations_deg=(0.0,), azimuth_step_deg=0.05, range_noise_m=0.02)
    points = scan_of(scene, config).points
    ahead = np.abs(points[:, 1]) < 5
    ahead &= points[:, 0] > 5
    error = np.linalg.norm(points[ahead, :3], axis=1) * (1 - 9.9 / points[ahead, 0])
    assert ahead.sum() > 500
    assert np.std(error) == pytest.approx(0.02, rel=0.1)
    assert np.mean(error) == pytest.approx(0.0, abs=0.003)


def test_without_noise_points_lie_on_the_ground(make_scene):
    scan_ = scan_of(make_scene([]), replace(PLAIN, range_noise_m=0.0))
    road = scan_.points[np.abs(scan_.points[:, 1]) < 5]
    np.testing.assert_allclose(road[:, 2], -1.73, atol=1e-3)


def test_returns_thin_out_with_range(make_scene):
    def share(distance):
        scene = make_scene([], [(distance, 0.0, 8.0, 4.0)])
        config = replace(PLAIN, elevations_deg=(0.0, -0.1, -0.2, -0.3), azimuth_step_deg=0.1)
        points = scan_of(scene, config).points
        expected = 4 * np.rad2deg(2 * np.arctan(4 / distance)) / 0.1
        return np.count_nonzero(np.abs(points[:, 0] - distance) < 1) / expected

    shares = [share(d) for d in (15.0, 80.0, 110.0)]
    assert shares[0] > 0.95
    assert shares[0] > shares[1] > shares[2]
    assert shares[2] < 0.5


def test_dropout_loses_its_share(make_scene):
    scene = make_scene([], [(10.0, 0.0, 30.0, 6.0)])
    config = replace(PLAIN, elevations_deg=(0.0, 0.5), azimuth_step_deg=0.05)
    all_of_them = len(scan_of(scene, config).points)
    half = len(scan_of(scene, replace(config, dropout=0.5)).points)
    assert half / all_of_them == pytest.approx(0.5, abs=0.04)


def test_glass_returns_less_than_paint(make_scene):
    scene = make_scene([(8.0, 0.0, 0.0)])
    config = replace(PLAIN, azimuth_step_deg=0.1)
    clear = np.count_nonzero(scan_of(scene, config).instances == 1)
    dark = np.count_nonzero(scan_of(scene, replace(config, glass_dropout=1.0)).instances == 1)
    assert 0 < dark < clear


def test_intensity_is_kittis_hundredths(make_scene):
    intensity = scan_of(make_scene([(8.0, 0.0, 0.0)]), PLAIN).points[:, 3]
    np.testing.assert_allclose(intensity * 100, np.round(intensity * 100), atol=1e-4)
    assert intensity.min() >= 0
    assert intensity.max() <= np.float32(0.99)  # numpy 1 would compare in float64


def test_instances_are_the_actors_boxes(make_scene):
    scene = make_scene([(8.0, 2.0, 0.5), (15.0, -3.0, 2.0)])
    result = scan_of(scene, replace(PLAIN, range_noise_m=0.0, azimuth_step_deg=0.2))
    for index, actor in enumerate(scene.actors, 1):
        own = result.points[result.instances == index, :3]
        x, y, z, dx, dy, dz, yaw = actor.box_lidar
        turn = np.array([[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]])
        local = (own[:, :2] - [x, y]) @ turn
        assert len(own) > 20
        assert np.abs(local).max(axis=0)[0] <= dx / 2 + 1e-3
        assert np.abs(local).max(axis=0)[1] <= dy / 2 + 1e-3
        assert np.abs(own[:, 2] - z).max() <= dz / 2 + 1e-3


def test_range_limits_hold(make_scene):
    points = scan_of(
        make_scene([]), replace(PLAIN, min_range_m=6.0, max_range_m=30.0, range_noise_m=0.0)
    ).points
    ranges = np.linalg.norm(points[:, :3], axis=1)
    assert ranges.min() >= 6 - 1e-3
    assert ranges.max() <= 30 + 1e-3


def test_a_sensor_elsewhere_sees_the_scene_from_there_in_its_own_frame(make_scene):
    scene = make_scene([(8.0, 2.0, 0.5)], [(20.0, 0.0, 60.0, 15.0)])
    caster = RayCaster(scene.mesh.vertices, scene.mesh.faces)
    config = replace(PLAIN, range_noise_m=0.0)
    # nuScenes' turn: x right, y forward; two metres ahead, three to the left, and higher.
    pose = np.array([[0.0, 1, 0, 2], [-1, 0, 0, 3], [0, 0, 1, 0.5], [0, 0, 0, 1]])
    moved = scan(scene, caster, config, rng=np.random.default_rng(0), world_from_lidar=pose)
    wall = moved.points[(np.abs(moved.points[:, 0]) < 10) & (moved.points[:, 1] > 12)]
    wall = wall[wall[:, 2] > -1.5]
    assert len(wall) > 50
    np.testing.assert_allclose(wall[:, 1], 19.9 - 2.0, atol=1e-3)
    world = moved.points[moved.instances == 0, :3] @ pose[:3, :3].T + pose[:3, 3]
    road = world[(np.abs(world[:, 1]) < 5) & (world[:, 0] < 19)]
    assert len(road) > 500
    np.testing.assert_allclose(road[:, 2], -1.73, atol=1e-3)
    car = moved.points[moved.instances == 1, :3] @ pose[:3, :3].T + pose[:3, 3]
    assert len(car) > 20
    assert np.abs(car[:, :2] - [8.0, 2.0]).max() < 2.3


def test_no_pose_is_the_origin(make_scene):
    scene = make_scene([(8.0, 2.0, 0.5)])
    caster = RayCaster(scene.mesh.vertices, scene.mesh.faces)
    here = scan_of(scene, PLAIN)
    placed = scan(scene, caster, PLAIN, rng=np.random.default_rng(0), world_from_lidar=np.eye(4))
    np.testing.assert_array_equal(placed.points, here.points)


def test_rings_count_from_the_lowest_beam(make_scene):
    result = scan_of(make_scene([(8.0, 2.0, 0.5)]), replace(PLAIN, range_noise_m=0.0))
    x, y, z = result.points[:, :3].T
    elevation = np.rad2deg(np.arctan2(z, np.hypot(x, y)))
    ascending = np.sort(PLAIN.elevations_deg)
    np.testing.assert_allclose(ascending[result.rings], elevation, atol=1e-3)
    assert len(np.unique(result.rings)) > 15


def test_nuscenes_points_have_its_intensity_and_rings(make_scene):
    result = scan_of(make_scene([(8.0, 0.0, 0.0)]), replace(PLAIN, azimuth_step_deg=0.1))
    points = result.nuscenes_points
    assert points.shape == (len(result.points), 5)
    assert points.dtype == np.float32
    np.testing.assert_array_equal(points[:, :3], result.points[:, :3])
    np.testing.assert_array_equal(points[:, 4], result.rings)
    plate = result.points[:, 3] > 0.985
    assert plate.any()
    assert (points[plate, 3] == 255).all()
    np.testing.assert_allclose(points[~plate, 3], 100 * result.points[~plate, 3], atol=1e-3)


def test_faces_are_the_triangles_that_were_hit(make_scene):
    scene = make_scene([(8.0, 2.0, 0.5)])
    result = scan_of(scene, replace(PLAIN, range_noise_m=0.0))
    assert np.array_equal(scene.face_instance[result.faces], result.instances)
    corners = scene.mesh.vertices[scene.mesh.faces[result.faces]]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    off = np.einsum("ni,ni->n", result.points[:, :3] - corners[:, 0], normal)
    assert np.abs(off).max() < 1e-3
