import numpy as np
import pytest
from datasets3d.depth.overlap_filter import without_overlap
from hypothesis import given
from hypothesis import strategies as st


def by_loop(uv, depth, radius):
    keep = []
    for place, z in zip(uv, depth, strict=True):
        around = ((uv - place) ** 2).sum(axis=1) <= radius**2
        keep.append((z - depth[around].min()) / z <= 0.1)
    return np.array(keep, bool)


@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(0, 200),
    radius=st.sampled_from([0.0, 1.0, 3.0, 5.0, 40.0]),
    whole=st.booleans(),
)
def test_equals_a_plain_loop(seed, count, radius, whole):
    rng = np.random.default_rng(seed)
    uv = rng.uniform(-5, 40, (count, 2))
    # Whole pixels put neighbours at exactly the radius, and several points into one place.
    uv = np.floor(uv) if whole else uv
    depth = rng.uniform(1, 80, count)
    expected = by_loop(uv, depth, radius)
    np.testing.assert_array_equal(without_overlap(uv, depth, radius_px=radius), expected)


def test_ten_percent_stays():
    uv = np.array([[0.0, 0.0], [1.0, 0.0]])
    assert without_overlap(uv, np.array([9.0, 10.0]), radius_px=2.0).tolist() == [True, True]
    assert without_overlap(uv, np.array([8.9, 10.0]), radius_px=2.0).tolist() == [True, False]


def test_what_goes_still_hides_what_is_behind_it():
    # Each is more than a tenth farther than its left neighbour, and only that one is within the radius.
    uv = np.array([[0.0, 0.0], [4.0, 0.0], [8.0, 0.0]])
    assert without_overlap(uv, np.array([10.0, 20.0, 40.0]), radius_px=5.0).tolist() == [True, False, False]


def test_nothing_in_nothing_out():
    assert without_overlap(np.zeros((0, 2)), np.zeros(0), radius_px=5.0).shape == (0,)


@pytest.mark.parametrize("radius", [-1.0, float("nan")])
def test_radius_must_not_be_negative(radius):
    with pytest.raises(ValueError, match="radius_px must not be negative"):
        without_overlap(np.zeros((1, 2)), np.ones(1), radius_px=radius)
