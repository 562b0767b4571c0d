import math

import numpy as np
import pytest
from geom3d.angles import angle_difference, wrap_angle
from hypothesis import given
from hypothesis import strategies as st

ANGLES = st.floats(-1e4, 1e4)


@given(ANGLES, st.sampled_from([math.pi / 2, math.pi, 2 * math.pi]), st.sampled_from([0.0, 0.25, 0.5, 1.0]))
def test_wrapping_stays_in_the_half_open_range_and_moves_by_whole_periods(angle, period, offset):
    wrapped = float(wrap_angle(np.array(angle), period=period, offset=offset))
    assert -offset * period <= wrapped < (1 - offset) * period
    turns = (angle - wrapped) / period
    assert turns == pytest.approx(round(turns), abs=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("multiple", [-3, -1, 1, 3])
@pytest.mark.parametrize("towards", [-math.inf, 0.0, math.inf])
def test_the_upper_end_is_excluded_next_to_odd_multiples_of_pi(dtype, multiple, towards):
    angle = np.nextafter(dtype(multiple * math.pi), dtype(towards))
    wrapped = wrap_angle(np.array([angle]))
    assert wrapped.dtype == dtype
    assert -dtype(math.pi) <= wrapped[0] < dtype(math.pi)


@given(ANGLES)
def test_wrapping_twice_changes_nothing(angle):
    once = wrap_angle(np.array(angle))
    assert wrap_angle(once) == once


def test_nan_stays_nan():
    assert np.isnan(wrap_angle(np.array([np.nan])))[0]


@given(ANGLES, st.floats(-3.1, 3.1))
def test_difference_undoes_a_turn(start, turn):
    assert float(angle_difference(np.array(start + turn), np.array(start))) == pytest.approx(turn, abs=1e-9)


def test_opposite_headings_are_equal_with_period_pi():
    assert float(wrap_angle(np.array(math.pi + 0.3), period=math.pi)) == pytest.approx(0.3)


@pytest.mark.parametrize("period", [0.0, -1.0, math.nan])
def test_a_period_that_is_not_positive_is_refused(period):
    with pytest.raises(ValueError, match=r"angles\.wrap_angle: period must be positive, got"):
        wrap_angle(np.zeros(1), period=period)
