import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from datasets3d.nuscenes.radar import RADAR_FIELDS, filter_states, read_radar, write_radar
from datasets3d.synth import SynthConfig, build_scene
from datasets3d.synth.sensors.radar import RadarConfig, RadarSweep, simulate_radar
from datasets3d.synth.sensors.rays import RayCaster
from datasets3d.synth.world.materials import Material

HEIGHT_OVER_ROAD_M = 0.5
CLEAN = RadarConfig(unknown_share=0.0, multi_target_share=0.0, stopped_share=0.0, speed_noise_m_s=0.0)


def sweep_of(scene, config=CLEAN, *, seed=0, velocity=(0.0, 0.0, 0.0), actors=None, yaw=0.0) -> RadarSweep:
    pose = np.eye(4)
    pose[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
    pose[2, 3] = -1.73 + HEIGHT_OVER_ROAD_M
    return simulate_radar(
        scene,
        RayCaster(scene.mesh.vertices, scene.mesh.faces),
        config,
        world_from_radar=pose,
        sensor_velocity=np.array(velocity),
        actor_velocities=np.zeros((len(scene.actors), 3)) if actors is None else np.array(actors),
        rng=np.random.default_rng(seed),
    )


def many(scene, count=10, **arguments):
    sweeps = [sweep_of(scene, seed=seed, **arguments) for seed in range(count)]
    return (
        np.concatenate([s.returns for s in sweeps]),
        np.concatenate([s.instances for s in sweeps]),
        np.concatenate([s.mirrored for s in sweeps]),
    )


def column(returns, name):
    return returns[:, RADAR_FIELDS.index(name)]


@pytest.mark.slow
def test_a_car_is_found_where_it_stands(make_scene):
    returns, instances, mirrored = many(make_scene([(30.0, 5.0, 0.0)]))
    own = returns[(instances == 1) & ~mirrored]
    assert len(own) >= 10
    assert np.abs(column(own, "x") - 30).max() < 3.5
    assert np.abs(column(own, "y") - 5).max() < 2.5


def test_there_is_no_height(make_scene):
    assert (column(sweep_of(make_scene([(12.0, 0.0, 0.0)])).returns, "z") == 0).all()


@pytest.mark.slow
def test_a_turned_sensor_looks_elsewhere(make_scene):
    returns, instances, mirrored = many(make_scene([(0.0, 25.0, 0.0)]), yaw=np.pi / 2)
    own = returns[(instances == 1) & ~mirrored]
    assert len(own) >= 10
    assert np.abs(column(own, "x") - 25).max() < 3.5
    assert not (many(make_scene([(0.0, 25.0, 0.0)]))[1] == 1).any()


@pytest.mark.slow
@pytest.mark.parametrize(("speed", "dyn_prop"), [(8.0, 0), (-8.0, 2), (0.0, (1, 3))])
def test_radial_speed_tells_what_moves(make_scene, speed, dyn_prop):
    scene = make_scene([(30.0, 0.0, 0.0)])
    returns, instances, mirrored = many(scene, actors=[(speed, 0.0, 0.0)])
    own = returns[(instances == 1) & ~mirrored]
    assert len(own) >= 10
    np.testing.assert_allclose(column(own, "vx"), speed, atol=0.25)
    np.testing.assert_allclose(column(own, "vx_comp"), speed, atol=0.25)
    assert np.isin(column(own, "dyn_prop"), dyn_prop).all()


@pytest.mark.slow
def test_crossing_traffic_has_little_radial_speed(make_scene):
    returns, instances, mirrored = many(make_scene([(25.0, 0.0, np.pi / 2)]), actors=[(0.0, 9.0, 0.0)])
    own = returns[(instances == 1) & ~mirrored]
    assert np.hypot(column(own, "vx_comp"), column(own, "vy_comp")).max() < 1.5
    assert (column(own, "dyn_prop") == 6).all()


def test_what_stands_stands_when_the_sensor_drives(make_scene):
    scene = make_scene([(30.0, 5.0, 0.0)], [(40.0, -8.0, 6.0, 4.0)])
    returns, _, mirrored = many(scene, velocity=(10.0, 0.0, 0.0))
    # At the edge of the view the angle, and so the car's own part of the speed, is off by some per cent.
    ahead = np.abs(column(returns, "y")) < 0.5 * column(returns, "x")
    real = returns[ahead & ~mirrored]
    assert len(real) > 50
    np.testing.assert_allclose(column(real, "vx"), -10, atol=0.25)
    assert np.hypot(column(real, "vx_comp"), column(real, "vy_comp")).max() < 0.3
    assert np.isin(column(real, "dyn_prop"), (1, 3)).all()


def test_compensated_speed_points_along_the_line_of_sight(make_scene):
    returns, instances, _ = many(make_scene([(25.0, 12.0, 0.3)]), actors=[(7.0, 1.0, 0.0)])
    own = returns[instances == 1].astype(np.float64)
    cross = column(own, "x") * column(own, "vy_comp") - column(own, "y") * column(own, "vx_comp")
    assert np.abs(cross).max() < 1e-3


def test_values_lie_on_the_sensors_grids(make_scene):
    returns = sweep_of(make_scene([(30.0, 5.0, 0.0)], [(40.0, -8.0, 20.0, 4.0)])).returns.astype(np.float64)
    for name, step, offset in (("x", 0.2, 0.0), ("y", 0.2, 0.1), ("rcs", 0.5, 0.0), ("vx", 0.25, 0.0)):
        steps = (column(returns, name) - offset) / step
        np.testing.assert_allclose(steps, np.round(steps), atol=1e-3)


@pytest.mark.slow
def test_metal_returns_more_than_people(make_scene):
    scene = make_scene([(20.0, 0.0, 0.0)])
    soft = np.where(scene.face_instance == 1, Material.CLOTH, scene.mesh.material).astype(np.uint8)
    person = replace(scene, mesh=replace(scene.mesh, material=soft))

    def strength(s):
        returns, instances, _ = many(s, count=20)
        return np.mean(10 ** (column(returns[instances == 1], "rcs") / 10))

    assert strength(scene) > 3 * strength(person)


@pytest.mark.slow
def test_a_smooth_wall_makes_a_ghost_behind_itself(make_scene):
    long_wall = [(x, -6.0, 0.4, 6.0) for x in np.arange(5.0, 40.0, 0.2)]
    scene = make_scene([(30.0, 4.0, 0.0)], long_wall)
    glassy = np.where(scene.mesh.material == Material.BRICK, Material.FACADE, scene.mesh.material)
    scene = replace(scene, mesh=replace(scene.mesh, material=glassy.astype(np.uint8)))
    config = replace(CLEAN, mirror_loss_db=0.0)
    returns, instances, mirrored = many(scene, config=config, actors=[(8.0, 0.0, 0.0)])
    ghosts = returns[(instances == 1) & mirrored]
    behind = ghosts[column(ghosts, "y") < -6]
    assert len(behind) >= 5
    # The mirror image of (30, 4) in the plane y = -5.8.
    assert np.median(np.abs(column(behind, "y") + 15.6)) < 2
    assert np.median(column(behind, "vx_comp")) > 4
    clean = filter_states(returns[mirrored])
    assert 0 < len(clean) < mirrored.sum()


def test_the_strongest_returns_are_kept_in_the_order_of_the_sensor(make_scene):
    walls = [(x, y, 3.0, 4.0) for x in (20.0, 35.0, 60.0) for y in (-20.0, -10.0, 0.0, 10.0, 20.0)]
    scene = make_scene([(12.0, 4.0, 0.0)], walls)
    everything = sweep_of(scene, replace(CLEAN, max_returns=1000)).returns
    kept = sweep_of(scene, replace(CLEAN, max_returns=12)).returns
    assert len(kept) == 12 < len(everything)
    assert column(kept, "id").tolist() == list(range(12))
    ranges = np.hypot(column(everything, "x"), column(everything, "y"))
    assert (np.diff(ranges) < -1.5).sum() == 1


def test_the_same_generator_gives_the_same_sweep(make_scene):
    scene = make_scene([(30.0, 5.0, 0.0)])
    assert np.array_equal(sweep_of(scene, seed=4).returns, sweep_of(scene, seed=4).returns)
    assert not np.array_equal(sweep_of(scene, seed=4).returns, sweep_of(scene, seed=5).returns)


def test_an_empty_sweep_is_written_and_read(make_scene, tmp_path):
    sweep = sweep_of(make_scene([]), replace(CLEAN, rcs_floor_dbsm=90.0))
    assert sweep.returns.shape == (0, 18)
    write_radar(tmp_path / "empty.pcd", sweep.returns)
    assert read_radar(tmp_path / "empty.pcd").shape == (0, 18)


def test_a_sweep_comes_back_from_its_file(make_scene, tmp_path):
    sweep = sweep_of(make_scene([(30.0, 5.0, 0.0)]), RadarConfig(), actors=[(5.0, 0.0, 0.0)])
    write_radar(tmp_path / "sweep.pcd", sweep.returns)
    assert np.array_equal(read_radar(tmp_path / "sweep.pcd"), sweep.returns)


def test_one_velocity_per_actor_is_needed(make_scene):
    with pytest.raises(ValueError, match="actor_velocities has 2 rows, the scene 1 actors"):
        sweep_of(make_scene([(30.0, 5.0, 0.0)]), actors=np.zeros((2, 3)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"half_view_deg": 0.0}, r"half_view_deg must lie in \(0, 90\), got 0.0"),
        ({"half_elevation_deg": 90.0}, r"half_elevation_deg must lie in \(0, 90\)"),
        ({"max_range_m": 0.0}, "max_range_m must be positive"),
        ({"range_noise_m": -1.0}, "range_noise_m must be at least 0"),
        ({"azimuth_cell_deg": ()}, "azimuth_cell_deg must hold pairs"),
        ({"azimuth_noise_deg": ((5.0, 1.0), (0.0, 1.0))}, "azimuth_noise_deg must hold pairs of rising"),
        ({"rays": (1, 5)}, "rays must be at least 2"),
    ],
)
def test_bad_scans_are_refused(change, message):
    with pytest.raises(ValueError, match=f"RadarScanConfig.{message}"):
        replace(RadarConfig().near, **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_returns": 0}, "max_returns must be at least 1"),
        ({"mirror_loss_db": -1.0}, "mirror_loss_db must be at least 0"),
        ({"unknown_share": 1.5}, r"unknown_share must lie in 0..1, got 1.5"),
    ],
)
def test_bad_settings_are_refused(change, message):
    with pytest.raises(ValueError, match=f"RadarConfig.{message}"):
        RadarConfig(**change)


@pytest.fixture(scope="session")
def street_returns() -> list[np.ndarray]:
    scenes = [build_scene(SynthConfig(), np.random.default_rng(seed)) for seed in range(4)]
    return [sweep_of(scene, RadarConfig(), seed=seed).returns for seed, scene in enumerate(scenes)]


def test_about_half_of_a_sweep_passes_the_official_filter(street_returns):
    shares = [len(filter_states(returns)) / len(returns) for returns in street_returns]
    assert 0.3 < np.mean(shares) < 0.65


def test_a_street_gives_fifty_to_eighty_usable_returns(street_returns):
    kept = [len(filter_states(returns)) for returns in street_returns]
    assert 40 < np.median(kept) < 85
    assert max(len(returns) for returns in street_returns) <= 125


@pytest.mark.real_data
def test_codes_of_the_real_file_follow_the_rules_assumed():
    """What `vx`, `vx_comp` and `vx_rms` mean is read off the one real file."""
    root = os.environ.get("FUSION3D_REAL_DATA")
    if not root:
        pytest.skip("FUSION3D_REAL_DATA is not set: no real sensor frames here")
    from datasets3d.synth.sensors._radar_codes import rms_code

    (path,) = Path(root).glob("nuscenes/samples/RADAR_FRONT/*.pcd")
    returns = read_radar(path).astype(np.float64)
    azimuth = np.arctan2(column(returns, "y"), column(returns, "x"))
    known = column(returns, "vx_rms") > 0
    assert np.mean(rms_code(0.25 / np.cos(azimuth))[known] == column(returns, "vx_rms")[known]) > 0.97
    moving = np.abs(column(returns, "vx")) > 0.5
    comp = column(returns, "vx") * np.cos(azimuth)
    np.testing.assert_allclose(
        column(returns, "vx_comp")[moving], (comp * np.cos(azimuth))[moving], atol=0.01
    )
    np.testing.assert_allclose(
        column(returns, "vy_comp")[moving], (comp * np.sin(azimuth))[moving], atol=0.01
    )
