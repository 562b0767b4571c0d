import math

import numpy as np
import pytest
from geom3d.boxes import corners_bev
from geom3d.kernels import hull_areas, rotated_intersection_area
from hypothesis import given
from hypothesis import strategies as st
from numba import njit
from shapely import MultiPoint
from shapely.geometry import Polygon

CENTRE, EDGE, YAW = st.floats(-6, 6), st.floats(1e-3, 8), st.floats(-7, 7)
RECTANGLE = st.tuples(CENTRE, CENTRE, EDGE, EDGE, YAW)


def outline(rectangle) -> Polygon:
    x, y, dx, dy, yaw = rectangle
    return Polygon(corners_bev(np.array([x, y, 0, dx, dy, 1, yaw])))


@given(RECTANGLE, RECTANGLE)
def test_the_area_agrees_with_shapely(a, b):
    expected = outline(a).intersection(outline(b)).area
    assert rotated_intersection_area(*a, *b) == pytest.approx(expected, abs=1e-9)


@given(RECTANGLE, st.sampled_from([0.0, math.pi / 2, math.pi / 4, 1e-9, 1e-16]), st.floats(-1, 1))
def test_the_area_agrees_with_shapely_for_parallel_and_nearly_parallel_edges(a, turn, share):
    x, y, dx, dy, yaw = a
    # Moved along an edge, so that two pairs of edges stay on (nearly) common lines.
    b = (x + share * dx * math.cos(yaw), y + share * dx * math.sin(yaw), dx, dy, yaw + turn)
    expected = outline(a).intersection(outline(b)).area
    assert rotated_intersection_area(*a, *b) == pytest.approx(expected, abs=1e-9)


@given(RECTANGLE)
def test_a_rectangle_covers_itself_exactly(a):
    assert rotated_intersection_area(*a, *a) == a[2] * a[3]


@given(RECTANGLE, RECTANGLE)
def test_the_order_does_not_matter(a, b):
    assert rotated_intersection_area(*a, *b) == pytest.approx(rotated_intersection_area(*b, *a), abs=1e-12)


@given(RECTANGLE, RECTANGLE, YAW)
def test_turning_both_changes_nothing(a, b, turn):
    def turned(r):
        cos, sin = math.cos(turn), math.sin(turn)
        return (r[0] * cos - r[1] * sin, r[0] * sin + r[1] * cos, r[2], r[3], r[4] + turn)

    expected = rotated_intersection_area(*a, *b)
    assert rotated_intersection_area(*turned(a), *turned(b)) == pytest.approx(expected, abs=1e-12)


@given(RECTANGLE, RECTANGLE)
def test_never_more_than_the_smaller_area(a, b):
    assert 0 <= rotated_intersection_area(*a, *b) <= min(a[2] * a[3], b[2] * b[3])


@pytest.mark.parametrize("edges", [(0.0, 2.0), (2.0, 0.0), (-1.0, 2.0), (-1.0, -1.0)])
def test_rectangles_without_area_overlap_nothing(edges):
    assert rotated_intersection_area(0.0, 0.0, *edges, 0.0, 0.0, 0.0, 2.0, 2.0, 0.0) == 0
    assert rotated_intersection_area(0.0, 0.0, 2.0, 2.0, 0.0, 0.0, 0.0, *edges, 0.0) == 0


def test_the_early_way_out_for_distant_pairs_misses_none_that_meet():
    # Squares corner to corner along the diagonal are the farthest that can touch.
    reach = math.sqrt(2)
    assert rotated_intersection_area(0.0, 0.0, 2.0, 2.0, 0.0, reach * 1.3, reach * 1.3, 2.0, 2.0, 0.0) > 0
    assert rotated_intersection_area(0.0, 0.0, 2.0, 2.0, 0.0, 1.999, 1.999, 2.0, 2.0, 0.0) > 0
    assert rotated_intersection_area(0.0, 0.0, 20.0, 0.1, 0.0, 9.99, 0.0, 0.1, 0.1, 0.0) > 0


def test_other_compiled_functions_can_call_it():
    @njit
    def twice(x):
        return 2 * rotated_intersection_area(0.0, 0.0, 2.0, 2.0, 0.0, x, 0.0, 2.0, 2.0, 0.0)

    assert twice(1.0) == pytest.approx(4.0)


@given(st.lists(st.tuples(CENTRE, CENTRE), min_size=1, max_size=8))
def test_hulls_agree_with_shapely(points):
    table = np.array(points)[None]
    expected = MultiPoint(points).convex_hull.area
    assert hull_areas(table.copy())[0] == pytest.approx(expected, abs=1e-9)


def test_hulls_of_repeated_and_collinear_points():
    square = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]])
    assert hull_areas(np.concatenate([square, square])[None])[0] == 1
    assert hull_areas(np.array([[[0.0, 0], [1, 1], [2, 2], [0, 0]]]))[0] == 0
