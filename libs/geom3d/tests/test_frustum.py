import numpy as np
import pytest
from geom3d.cameras import PinholeCamera, project
from geom3d.frustum import frustum_mask, frustum_of_box2d
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial import Delaunay

CAMERA = PinholeCamera(
    image_from_cam=np.array([[10.0, 0, 4, 0.1], [0, 10, 3, 0], [0, 0, 1, 0.01]]),
    cam_from_lidar=np.array([[0.0, -1, 0, 0], [0, 0, -1, -0.1], [1, 0, 0, -0.3], [0, 0, 0, 1]]),
    width=8,
    height=6,
)


@given(st.integers(0, 10_000))
def test_the_mask_agrees_with_the_hull_of_the_whole_picture(seed):
    points = np.random.default_rng(seed).uniform([-5, -10, -10], [30, 10, 10], (100, 3))
    picture = np.array([[0.0, 0.0, 8.0, 6.0]])
    hull = Delaunay(frustum_of_box2d(picture, CAMERA, near=1e-3, far=100.0)[0])
    assert frustum_mask(points, CAMERA).tolist() == (hull.find_simplex(points) >= 0).tolist()


def test_further_columns_are_ignored_and_min_depth_counts():
    points = np.array([[5.0, 0, 0, 0.7], [1.0, 0, 0, 0.7], [-5.0, 0, 0, 0.7]])
    assert frustum_mask(points, CAMERA).tolist() == [True, True, False]
    assert frustum_mask(points, CAMERA, min_depth=2.0).tolist() == [True, False, False]


def test_frustum_corners_project_onto_the_corners_of_the_box():
    box = np.array([[1.0, 2.0, 5.0, 4.0]])
    corners = frustum_of_box2d(box, CAMERA, near=2.0, far=20.0)[0]
    uv, depth = project(corners, CAMERA.image_from_lidar)
    assert np.allclose(uv, [[1, 2], [5, 2], [5, 4], [1, 4]] * 2)
    assert np.allclose(depth, [2.0] * 4 + [20.0] * 4)


def test_no_boxes_have_no_frustums():
    assert frustum_of_box2d(np.zeros((0, 4)), CAMERA, near=1.0, far=2.0).shape == (0, 8, 3)


def test_bad_arguments_are_refused(unchecked):
    with pytest.raises(ValueError, match=r"points_lidar must have shape \[n, 3 or more\], got \[1, 2\]"):
        frustum_mask(np.zeros((1, 2)), CAMERA)
    with pytest.raises(ValueError, match=r"boxes_image must have shape \[\.\.\., 4\], got \[1, 5\]"):
        frustum_of_box2d(np.zeros((1, 5)), CAMERA, near=1.0, far=2.0)


@pytest.mark.parametrize(("near", "far"), [(0.0, 1.0), (2.0, 1.0), (1.0, 1.0)])
def test_depths_out_of_order_are_refused(near, far):
    with pytest.raises(ValueError, match=rf"expected 0 < near < far, got near {near} and far {far}"):
        frustum_of_box2d(np.zeros((1, 4)), CAMERA, near=near, far=far)
