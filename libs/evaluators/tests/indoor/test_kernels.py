import math

import numpy as np
import pytest
from evaluators.indoor._kernels import best_matches, clipped_area, write_corners
from geom3d.kernels import rotated_intersection_area
from hypothesis import given, settings
from hypothesis import strategies as st

NONE = np.zeros(0, np.int64)


def test_nothing_to_match_is_fine() -> None:
    boxes, empty = np.array([[0.0, 0, 0, 1, 1, 1, 0]]), np.zeros((0, 7))
    for clipped in (False, True):
        best, overlaps = best_matches(boxes, np.array([0]), empty, NONE, clipped)
        assert (best.tolist(), overlaps.tolist()) == ([-1], [0.0])
        assert best_matches(empty, NONE, boxes, np.array([0]), clipped)[0].tolist() == []


def test_a_box_overlaps_itself_completely_far_from_the_origin() -> None:
    rng = np.random.default_rng(0)
    boxes = np.column_stack(
        [rng.uniform(-80, 80, (200, 3)), rng.uniform(0.01, 3, (200, 3)), rng.uniform(-9, 9, 200)]
    )
    for row in boxes:
        best, overlaps = best_matches(row[None], np.array([0]), row[None], np.array([0]), False)
        assert best.tolist() == [0]
        assert overlaps[0] == pytest.approx(1.0, abs=1e-12)
        assert overlaps[0] <= 1.0 + 1e-12


def test_boxes_that_only_touch_or_hover_do_not_overlap() -> None:
    box = np.array([[0.0, 0, 0, 1, 1, 1, 0]])
    for shift in ([1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0], [0, 0, 5.0]):
        other = box + np.array([[*shift, 0, 0, 0, 0]])
        assert best_matches(box, np.array([0]), other, np.array([0]), False)[0].tolist() == [-1]


def test_corners_go_counter_clockwise_and_yaw_turns_x_towards_y() -> None:
    out = np.empty((4, 2))
    write_corners(np.array([1.0, 2, 0, 4, 2, 1, math.pi / 2]), out)
    np.testing.assert_allclose(out, [[0, 0], [2, 0], [2, 4], [0, 4]], atol=1e-12)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=50)
def test_clipping_is_right_where_no_edges_coincide(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = np.column_stack([rng.uniform(-1, 1, (2, 3)), rng.uniform(0.3, 2, (2, 3)), rng.uniform(-4, 4, 2)])
    outline_a, outline_b = np.empty((4, 2)), np.empty((4, 2))
    write_corners(a, outline_a)
    write_corners(b, outline_b)
    exact = rotated_intersection_area(a[0], a[1], a[3], a[4], a[6], b[0], b[1], b[3], b[4], b[6])
    assert clipped_area(outline_a, outline_b) == pytest.approx(exact, abs=1e-9)


@pytest.mark.slow
@given(cells=st.lists(st.integers(-2, 2), min_size=16, max_size=16))
@settings(max_examples=200)
def test_clipping_never_leaves_its_buffers(cells: list[int]) -> None:
    # Corners on a coarse grid: many parallel and coinciding edges, also polygons that are no boxes.
    corners = np.array(cells, dtype=np.float64).reshape(2, 4, 2)
    # Interpreted, where an index out of range raises.
    area = clipped_area.py_func(corners[0], corners[1])
    assert math.isnan(area) or area >= 0.0
