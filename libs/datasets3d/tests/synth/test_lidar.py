from dataclasses import replace

import numpy as np
import pytest
from datasets3d.synth import LidarConfig, scan
from datasets3d.synth._rays import RayCaster
from datasets3d.synth.lidar import ray_directions

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
    assert intensity.max() <= 0.99


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
