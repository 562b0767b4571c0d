from dataclasses import replace

import numpy as np
import pytest
from datasets3d.synth import CameraConfig, render
from datasets3d.synth.layouts._kitti_calibration import calibration
from datasets3d.synth.sensors.camera import camera_rays
from datasets3d.synth.sensors.rays import RayCaster
from datasets3d.synth.world.materials import Semantic
from geom3d import cameras

CAMERA = calibration(width=310, height=94).camera(310, 94)


def view_of(scene, config=None, seed=0):
    caster = RayCaster(scene.mesh.vertices, scene.mesh.faces)
    config = config or CameraConfig(width=310, height=94)
    return render(scene, caster, CAMERA, config, rng=np.random.default_rng(seed))


def test_rays_project_back_to_their_pixels():
    origin, directions = camera_rays(CAMERA)
    uv, depth = cameras.project((origin + 10 * directions).astype(np.float64), CAMERA.image_from_lidar)
    u, v = np.meshgrid(np.arange(310), np.arange(94))
    np.testing.assert_allclose(uv, np.stack([u.ravel(), v.ravel()], axis=1), atol=1e-2)
    assert (depth > 0).all()


def test_depth_agrees_with_the_wall(make_scene):
    view = view_of(make_scene([], [(20.0, 0.0, 60.0, 15.0)]))
    # The wall's near face is at x = 19.9; the camera sits 0.27 m ahead of the LiDAR.
    assert abs(view.depth[30, 155] - (19.9 - 0.27)) < 0.1


def test_sky_has_infinite_depth_and_no_instance(make_scene):
    view = view_of(make_scene([(12.0, 0.0, 0.0)]))
    sky = view.semantics == Semantic.SKY
    assert sky.any()
    assert np.isinf(view.depth[sky]).all()
    assert (view.instances[sky] == 0).all()


@pytest.mark.slow
def test_a_nearer_car_covers_a_farther_one(make_scene):
    alone = view_of(make_scene([(30.0, 0.0, 0.0)])).instances
    hidden = view_of(make_scene([(30.0, 0.0, 0.0), (12.0, 0.0, 0.0)])).instances
    assert np.count_nonzero(alone == 1) > 20
    assert np.count_nonzero(hidden == 1) < 0.5 * np.count_nonzero(alone == 1)
    assert np.count_nonzero(hidden == 2) > 200


def test_shadows_darken_the_ground(make_scene):
    scene = make_scene([(9.0, 0.0, 0.0), (14.0, 0.5, 0.0)])
    with_shadow = view_of(scene, CameraConfig(width=310, height=94, noise=0.0))
    without = view_of(scene, CameraConfig(width=310, height=94, noise=0.0, shadows=False))
    ground = with_shadow.semantics == Semantic.ROAD
    darker = with_shadow.image[ground].mean(axis=1) / np.maximum(without.image[ground].mean(axis=1), 1)
    assert np.count_nonzero(darker < 0.75) > 20


def test_the_picture_uses_its_range(make_scene):
    image = view_of(make_scene([(12.0, 0.0, 0.0)])).image
    assert image.dtype == np.uint8
    low, middle, high = np.percentile(image, [1, 50, 99])
    assert low < 70
    assert 60 < middle < 220
    assert high > 180


def test_a_moved_world_looks_the_same_from_a_moved_camera(make_scene):
    scene = make_scene([(12.0, 1.0, 0.3)], [(25.0, 0.0, 60.0, 4.0)])
    moved_from_scene = np.array([[0.0, -1, 0, 70], [1, 0, 0, -40], [0, 0, 1, 3], [0, 0, 0, 1]])
    mesh = scene.mesh
    turn, shift = moved_from_scene[:3, :3], moved_from_scene[:3, 3]
    moved_mesh = replace(
        mesh, vertices=mesh.vertices @ turn.T + shift, normals=mesh.normals @ turn.T.astype(np.float32)
    )
    moved = replace(scene, mesh=moved_mesh)
    here = view_of(scene)
    caster = RayCaster(moved_mesh.vertices, moved_mesh.faces)
    camera = CAMERA.with_scene(np.linalg.inv(moved_from_scene))
    there = render(moved, caster, camera, CameraConfig(width=310, height=94), rng=np.random.default_rng(0))
    same = (here.semantics == there.semantics) & (here.instances == there.instances)
    assert np.mean(same) > 0.995  # noise of marks and foliage, and rounding at edges
    solid = np.isfinite(here.depth) & np.isfinite(there.depth)
    assert np.mean(np.abs(here.depth[solid] - there.depth[solid]) < 0.01) > 0.995
