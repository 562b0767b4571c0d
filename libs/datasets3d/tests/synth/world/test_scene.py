from dataclasses import replace

import numpy as np
import pytest
from datasets3d.synth import StreetConfig, SynthConfig, build_scene
from geom3d.overlap import iou_bev


def build(seed=0, **street):
    return build_scene(SynthConfig(street=StreetConfig(**street)), np.random.default_rng(seed))


@pytest.fixture(scope="session")
def scenes():
    return [build(seed, cars_per_frame=8.0, crowding=50.0) for seed in range(4)]


@pytest.mark.slow
def test_density_is_configurable(scenes):
    assert (
        not build(cars_per_frame=0.0, vans_per_frame=0.0, trucks_per_frame=0.0)
        .boxes_lidar[:, 3]
        .max(initial=0)
        > 3
    )
    assert sum(a.name == "Car" for s in scenes for a in s.actors) > 40


def test_actors_do_not_overlap(scenes):
    for scene in scenes:
        overlap = iou_bev(scene.boxes_lidar, scene.boxes_lidar)
        np.fill_diagonal(overlap, 0.0)
        assert overlap.max(initial=0.0) == 0.0


def test_no_actor_stands_in_the_recording_car(scenes):
    for scene in scenes:
        assert np.linalg.norm(scene.boxes_lidar[:, :2], axis=1).min(initial=9.0) > 2.5


def test_actors_stand_on_the_ground(scenes):
    for scene in scenes:
        bottom = scene.boxes_lidar[:, 2] - scene.boxes_lidar[:, 5] / 2
        ground = scene.plan.terrain.height(scene.boxes_lidar[:, 0], scene.boxes_lidar[:, 1])
        lift = bottom - ground
        assert ((np.abs(lift) < 1e-9) | (np.abs(lift - 0.12) < 1e-9)).all()


def test_the_ground_under_the_sensor_is_at_its_height(scenes):
    for scene in scenes:
        assert scene.plan.ground(0.0, scene.plan.ego_t) == pytest.approx(-1.73, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["street", "intersection", "highway"])
def test_every_layout_can_be_asked_for(layout):
    weights = {f"{name}_weight": 0.0 for name in ("street", "intersection", "highway")}
    scene = build(**{**weights, f"{layout}_weight": 1.0})
    assert scene.plan.layout == layout
    assert (scene.plan.crossing_s is not None) == (layout == "intersection")


def test_road_coordinates_follow_the_curve(flat_plan):
    bent = replace(flat_plan, curvature=0.01)
    x, y, heading = bent.point(100.0 * np.pi / 2, 0.0)
    assert (x, y, heading) == pytest.approx((100.0, 100.0, np.pi / 2), abs=1e-6)


@pytest.mark.parametrize("curvature", [0.0, 0.006, -0.006])
def test_road_coordinates_come_back(flat_plan, curvature):
    bent = replace(flat_plan, curvature=curvature, heading_rad=0.3, ego_t=-1.6)
    s, t = (a.ravel() for a in np.meshgrid(np.linspace(-250, 250, 21), np.linspace(-70, 70, 15)))
    back_s, back_t = bent.to_road(*bent.to_world(s, t)[:2])
    np.testing.assert_allclose(back_s, s, atol=1e-9)
    np.testing.assert_allclose(back_t, t, atol=1e-9)


def test_parking_lanes_lie_between_the_lanes_and_the_kerb(flat_plan):
    plan = replace(flat_plan, parking_m=(2.0, 0.0), crossing_s=50.0)
    t = np.array([-5.6, -5.4, -3.6, -3.4, 3.4, 3.6])
    assert plan.is_parking(np.zeros(6), t).tolist() == [False, True, True, False, False, False]
    assert plan.is_parking(np.zeros(6), t, margin_m=0.2).tolist() == [True, True, True, False, False, False]
    assert not plan.is_parking(np.full(6, 53.0), t).any()


def test_left_of_the_road_is_positive(flat_plan):
    assert flat_plan.point(10.0, 2.0)[:2] == pytest.approx((10.0, 2.0))


@pytest.mark.slow
def test_scenes_repeat_with_their_seed():
    first, second = build(7), build(7)
    assert np.array_equal(first.mesh.vertices, second.mesh.vertices)
    assert not np.array_equal(first.mesh.vertices[:100], build(8).mesh.vertices[:100])
