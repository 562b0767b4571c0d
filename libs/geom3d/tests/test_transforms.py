import math

import numpy as np
import pytest
from geom3d import transforms
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

COMPONENT = st.floats(-50, 50)
OFFSET = st.tuples(COMPONENT, COMPONENT, COMPONENT).map(np.array)
SEED = st.integers(0, 2**31 - 1)


def random_rigid(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return transforms.from_parts(Rotation.from_quat(rng.normal(size=4)).as_matrix(), rng.uniform(-50, 50, 3))


@given(SEED)
def test_apply_agrees_with_scipy(seed):
    a_from_b = random_rigid(seed)
    points = np.random.default_rng(seed).normal(size=(5, 3))
    expected = Rotation.from_matrix(a_from_b[:3, :3]).apply(points) + a_from_b[:3, 3]
    assert np.allclose(transforms.apply(a_from_b, points), expected, atol=1e-9)


@given(SEED, SEED)
def test_chains_read_from_right_to_left(first, second):
    a_from_b, b_from_c = random_rigid(first), random_rigid(second)
    points_c = np.random.default_rng(first).normal(size=(5, 3))
    step_by_step = transforms.apply(a_from_b, transforms.apply(b_from_c, points_c))
    assert np.allclose(
        transforms.apply(transforms.compose(a_from_b, b_from_c), points_c), step_by_step, atol=1e-9
    )


@given(SEED)
def test_the_inverse_undoes_a_rigid_transform(seed):
    a_from_b = random_rigid(seed)
    assert np.allclose(transforms.invert(a_from_b) @ a_from_b, np.eye(4), atol=1e-12)
    assert transforms.invert(a_from_b)[3].tolist() == [0, 0, 0, 1]


def test_the_inverse_undoes_scaling_and_mirroring():
    scene_from_lidar = np.diag([1.05, -1.05, 1.05, 1.0])
    assert np.allclose(transforms.invert(scene_from_lidar), np.diag([1, -1, 1, 1.05]) / 1.05)


def test_leading_dimensions_broadcast():
    matrices = np.stack([random_rigid(0), random_rigid(1)])
    points = np.random.default_rng(0).normal(size=(2, 5, 3))
    both = transforms.apply(matrices, points)
    assert np.allclose(both[1], transforms.apply(matrices[1], points[1]))
    assert np.allclose(transforms.invert(matrices)[1], transforms.invert(matrices[1]))
    assert transforms.apply(matrices[0], np.zeros((0, 3))).shape == (0, 3)


def test_rotation_z_is_counter_clockwise_and_takes_arrays():
    assert np.allclose(transforms.rotation_z(math.pi / 2) @ [1, 0, 0], [0, 1, 0])
    yaws = np.array([0.1, 0.2])
    assert np.allclose(transforms.rotation_z(yaws), Rotation.from_euler("z", yaws[:, None]).as_matrix())


@given(SEED, st.floats(0.1, 10))
def test_quaternions_agree_with_scipy_and_need_no_unit_length(seed, length):
    rotation = Rotation.from_quat(np.random.default_rng(seed).normal(size=4))
    wxyz = rotation.as_quat()[[3, 0, 1, 2]] * length
    assert np.allclose(transforms.rotation_from_quaternion(wxyz), rotation.as_matrix(), atol=1e-12)


@pytest.mark.parametrize("bad", [np.diag([1.0, 0.0, 1.0, 1.0]), np.ones((4, 4)), np.diag([np.nan, 1, 1, 1])])
def test_singular_matrices_are_refused(bad):
    bad[3] = [0, 0, 0, 1]
    with pytest.raises(ValueError, match=r"transforms\.invert: a_from_b is singular or holds NaN"):
        transforms.invert(bad)


def test_small_units_are_not_taken_for_singular():
    assert np.allclose(transforms.invert(np.diag([1e-6, 1e-6, 1e-6, 1])), np.diag([1e6, 1e6, 1e6, 1]))


def test_a_projection_is_not_inverted():
    with pytest.raises(ValueError, match=r"transforms\.invert: the last row of a_from_b must be 0 0 0 1"):
        transforms.invert(np.ones((4, 4)))


def test_wrong_shapes_are_refused(unchecked):
    with pytest.raises(ValueError, match=r"apply: a_from_b must have shape \[\.\.\., 4, 4\], got \[3, 4\]"):
        transforms.apply(np.eye(4)[:3], np.zeros((1, 3)))
    with pytest.raises(ValueError, match=r"apply: points_b must have shape \[\.\.\., 3\], got \[1, 4\]"):
        transforms.apply(np.eye(4), np.zeros((1, 4)))
    with pytest.raises(ValueError, match=r"compose: matrix 1 must have shape \[\.\.\., 4, 4\], got \[3, 3\]"):
        transforms.compose(np.eye(4), np.eye(3))
    with pytest.raises(ValueError, match=r"from_parts: rotation must have shape"):
        transforms.from_parts(np.eye(4), np.zeros(3))
    with pytest.raises(ValueError, match=r"from_parts: translation must have shape"):
        transforms.from_parts(np.eye(3), np.zeros(4))


def test_composing_nothing_is_refused():
    with pytest.raises(ValueError, match=r"transforms\.compose: expected at least one matrix, got none"):
        transforms.compose()


def test_a_quaternion_of_length_zero_is_refused():
    with pytest.raises(ValueError, match=r"rotation_from_quaternion: quaternion_wxyz holds one of length 0"):
        transforms.rotation_from_quaternion(np.zeros((2, 4)))
