import numpy as np
import pytest
from geom3d.cameras import PinholeCamera, project
from geom3d.depth import depth_map_from_points, points_from_depth_map
from hypothesis import given
from hypothesis import strategies as st

CAMERA = PinholeCamera(
    image_from_cam=np.array([[10.0, 0, 4, 0.1], [0, 10, 3, 0], [0, 0, 1, 0.01]]),
    cam_from_lidar=np.array([[0.0, -1, 0, 0], [0, 0, -1, -0.1], [1, 0, 0, -0.3], [0, 0, 0, 1]]),
    width=8,
    height=6,
)


@given(st.integers(0, 10_000), st.integers(0, 60))
def test_the_nearest_point_wins(seed, count):
    rng = np.random.default_rng(seed)
    uv, depth = rng.uniform(-2, 10, (count, 2)), rng.integers(-1, 6, count).astype(float)
    expected = np.full((6, 8), np.inf)
    for (u, v), d in zip(uv, depth, strict=True):
        if 0 <= u < 8 and 0 <= v < 6 and d > 0:
            expected[int(v), int(u)] = min(expected[int(v), int(u)], d)
    expected[np.isinf(expected)] = 0
    assert depth_map_from_points(uv, depth, width=8, height=6).tolist() == expected.tolist()


def test_nan_and_no_points_leave_the_map_empty():
    assert not depth_map_from_points(np.full((1, 2), np.nan), np.ones(1), width=2, height=2).any()
    assert not depth_map_from_points(np.zeros((0, 2)), np.zeros(0), width=2, height=2).any()


def test_the_map_has_the_dtype_of_the_depths():
    assert (
        depth_map_from_points(np.zeros((1, 2)), np.ones(1, np.float32), width=2, height=2).dtype == np.float32
    )


@given(st.integers(0, 10_000))
def test_points_of_a_depth_map_give_the_map_back(seed):
    rng = np.random.default_rng(seed)
    depth_map = rng.uniform(1, 50, (6, 8)) * (rng.uniform(size=(6, 8)) > 0.5)
    points_lidar = points_from_depth_map(depth_map, CAMERA)
    assert len(points_lidar) == np.count_nonzero(depth_map)
    uv, depth = project(points_lidar, CAMERA.image_from_lidar)
    assert np.allclose(uv % 1, 0.5, atol=1e-6)
    assert np.allclose(depth_map_from_points(uv, depth, width=8, height=6), depth_map)


def test_bad_arguments_are_refused(unchecked):
    with pytest.raises(
        ValueError, match=r"depth_map_from_points: width and height must be positive, got 0 x 2"
    ):
        depth_map_from_points(np.zeros((1, 2)), np.ones(1), width=0, height=2)
    with pytest.raises(ValueError, match=r"expected uv \[n, 2\] and depth \[n\], got \[2, 2\] and \[1\]"):
        depth_map_from_points(np.zeros((2, 2)), np.ones(1), width=2, height=2)
    with pytest.raises(
        ValueError, match=r"depth_map_from_points: uv must have shape \[\.\.\., 2\], got \[1, 3\]"
    ):
        depth_map_from_points(np.zeros((1, 3)), np.ones(1), width=2, height=2)
    with pytest.raises(
        ValueError, match=r"depth_map must have shape \[6, 8\] .* got \[8, 6\]; use camera\.resized"
    ):
        points_from_depth_map(np.zeros((8, 6)), CAMERA)
