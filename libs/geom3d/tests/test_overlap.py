import math
from pathlib import Path

import numpy as np
import pytest
from geom3d import boxes, overlap
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry import Polygon
from shapely.ops import unary_union

METRES, EDGE, YAW = st.floats(-4, 4), st.floats(0.05, 8), st.floats(-7, 7)
BOX = st.tuples(METRES, METRES, METRES, EDGE, EDGE, EDGE, YAW)
TABLE = st.lists(BOX, max_size=3).map(lambda rows: np.array(rows, dtype=np.float64).reshape(-1, 7))
CAR = np.array([[70.0, -30.0, -1.0, 3.9, 1.6, 1.56, 1.3]])

IOUS = [overlap.iou_bev, overlap.iou_3d, overlap.iou_aligned_bev, overlap.iou_aligned_3d]
SIGNED = [overlap.giou_3d, overlap.diou_3d]
PAIRED = [
    (overlap.paired_iou_bev, overlap.iou_bev),
    (overlap.paired_iou_3d, overlap.iou_3d),
    (overlap.paired_giou_3d, overlap.giou_3d),
    (overlap.paired_diou_3d, overlap.diou_3d),
]


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    """Pairs with reference overlaps from polygon clipping; the kinds of pairs are in `tag`."""
    with np.load(Path(__file__).parent / "golden" / "rotated_iou.npz", allow_pickle=False) as file:
        return dict(file)


def test_golden_pairs(golden):
    a, b = golden["boxes_a"], golden["boxes_b"]
    assert len(set(golden["tag"])) > 10
    assert np.abs(np.diag(overlap.intersection_bev(a, b)) - golden["inter_bev"]).max() < 1e-6
    assert np.abs(overlap.paired_iou_bev(a, b) - golden["iou_bev"]).max() < 1e-6
    assert np.abs(overlap.paired_iou_3d(a, b) - golden["iou_3d"]).max() < 1e-6


def test_golden_matrix(golden):
    found = overlap.iou_bev(golden["nms_boxes"], golden["nms_boxes"])
    np.fill_diagonal(found, 0)
    assert np.abs(found - golden["nms_iou"]).max() < 1e-6


def shapely_parts(a, b):
    """Common area seen from above, hull area seen from above, common height."""
    first, second = Polygon(boxes.corners_bev(a)), Polygon(boxes.corners_bev(b))
    low, high = max(a[2] - a[5] / 2, b[2] - b[5] / 2), min(a[2] + a[5] / 2, b[2] + b[5] / 2)
    hull = unary_union([first, second]).convex_hull.area
    return first.intersection(second).area, hull, max(0.0, high - low)


@pytest.mark.slow
@given(BOX, BOX)
def test_iou_and_giou_agree_with_shapely(a, b):
    a, b = np.array(a), np.array(b)
    area, hull, height = shapely_parts(a, b)
    union = boxes.volume(a) + boxes.volume(b) - area * height
    area_union = a[3] * a[4] + b[3] * b[4] - area
    assert overlap.iou_bev(a[None], b[None])[0, 0] == pytest.approx(area / area_union, abs=1e-9)
    assert overlap.iou_3d(a[None], b[None])[0, 0] == pytest.approx(area * height / union, abs=1e-9)
    span = max(a[2] + a[5] / 2, b[2] + b[5] / 2) - min(a[2] - a[5] / 2, b[2] - b[5] / 2)
    expected = area * height / union - (hull * span - union) / (hull * span)
    assert overlap.giou_3d(a[None], b[None])[0, 0] == pytest.approx(expected, abs=1e-9)


@given(BOX, BOX)
def test_diou_agrees_with_its_definition_on_corners(a, b):
    a, b = np.array(a), np.array(b)
    corners = np.concatenate([boxes.corners(a), boxes.corners(b)])
    diagonal = np.sum((corners.max(axis=0) - corners.min(axis=0)) ** 2)
    expected = overlap.iou_3d(a[None], b[None])[0, 0] - np.sum((a[:3] - b[:3]) ** 2) / diagonal
    assert overlap.diou_3d(a[None], b[None])[0, 0] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("function", IOUS)
@given(a=TABLE, b=TABLE)
def test_iou_is_symmetric_and_between_0_and_1(function, a, b):
    there = function(a, b)
    assert there.shape == (len(a), len(b))
    assert np.all((there >= 0) & (there <= 1 + 1e-12))
    assert np.allclose(there, function(b, a).T, atol=1e-12)


@pytest.mark.parametrize("function", SIGNED)
@given(a=TABLE, b=TABLE)
def test_giou_and_diou_are_symmetric_and_between_minus_1_and_1(function, a, b):
    there = function(a, b)
    assert there.shape == (len(a), len(b))
    assert np.all((there >= -1) & (there <= 1 + 1e-12))
    assert np.allclose(there, function(b, a).T, atol=1e-12)
    assert np.all(there <= overlap.iou_3d(a, b) + 1e-12)


@pytest.mark.parametrize("function", IOUS + SIGNED)
@given(
    offset=st.tuples(st.floats(-100, 100), st.floats(-100, 100)), size=st.tuples(EDGE, EDGE, EDGE), yaw=YAW
)
def test_a_box_compared_with_itself_gives_1_far_from_the_origin_too(function, offset, size, yaw):
    box = np.array([[*offset, -1.0, *size, yaw]])
    assert function(box, box)[0, 0] == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("function", IOUS + SIGNED)
@pytest.mark.parametrize("turn", [math.pi, -math.pi, 2 * math.pi])
def test_a_box_turned_by_half_circles_is_the_same(function, turn):
    assert function(CAR, CAR + np.array([0, 0, 0, 0, 0, 0, turn]))[0, 0] == pytest.approx(1, abs=1e-12)


def test_swapped_edges_and_a_quarter_turn_describe_the_same_box():
    other = CAR[:, [0, 1, 2, 4, 3, 5, 6]] + [0, 0, 0, 0, 0, 0, math.pi / 2]
    assert overlap.iou_3d(CAR, other)[0, 0] == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("yaw", [0.0, 0.3])
def test_touching_is_no_overlap(yaw):
    step = 3.9 * np.array([math.cos(yaw), math.sin(yaw)])
    a = np.array([[0.0, 0, 0, 3.9, 1.6, 1.5, yaw]])
    b = a + np.array([*step, 0, 0, 0, 0, 0])
    assert overlap.iou_bev(a, b)[0, 0] == pytest.approx(0, abs=1e-12)
    assert overlap.iou_3d(a, a + np.array([0, 0, 1.5, 0, 0, 0, 0]))[0, 0] == 0


def test_slivers():
    thin = np.array([[0.0, 0, 0, 10, 1e-3, 1, 0.4]])
    assert overlap.iou_bev(thin, thin + np.array([0, 0, 0, 0, 0, 0, math.pi / 2]))[0, 0] == pytest.approx(
        1e-6 / (2e-2 - 1e-6), abs=1e-15
    )


@pytest.mark.parametrize("function", IOUS)
@pytest.mark.parametrize("edge", [0.0, -1.0])
def test_boxes_without_volume_overlap_nothing_not_even_themselves(function, edge):
    flat = np.array([[0.0, 0, 0, edge, 1, 1, 0]])
    assert function(flat, flat).tolist() == [[0.0]]
    assert function(flat, CAR * [0, 0, 0, 1, 1, 1, 1]).tolist() == [[0.0]]


@pytest.mark.parametrize("function", SIGNED)
def test_two_points_in_one_place_give_0(function):
    point = np.zeros((1, 7))
    assert function(point, point).tolist() == [[0.0]]


def test_aligned_iou_ignores_yaw_and_equals_the_rotated_one_at_yaw_0():
    rng = np.random.default_rng(0)
    a, b = (rng.uniform([-2, -2, -2, 1, 1, 1, 0], [2, 2, 2, 4, 4, 4, 0], (20, 7)) for _ in range(2))
    turned = a + np.array([0, 0, 0, 0, 0, 0, 0.7])
    assert np.allclose(overlap.iou_aligned_bev(turned, b), overlap.iou_bev(a, b), atol=1e-12)
    assert np.allclose(overlap.iou_aligned_3d(turned, b), overlap.iou_3d(a, b), atol=1e-12)


@given(BOX, BOX, YAW, st.tuples(METRES, METRES, METRES))
def test_moving_both_boxes_changes_nothing(a, b, yaw, offset):
    a, b = np.array([a]), np.array([b])
    moved_a, moved_b = (boxes.translate(boxes.rotate_z(t, yaw), offset) for t in (a, b))
    for function in (overlap.iou_bev, overlap.iou_3d, overlap.giou_3d):
        assert np.allclose(function(moved_a, moved_b), function(a, b), atol=1e-9)


@pytest.mark.parametrize(("paired", "pairwise"), PAIRED)
@given(a=TABLE)
def test_paired_forms_are_the_diagonal(paired, pairwise, a):
    b = a[::-1].copy()
    assert np.allclose(paired(a, b), np.diag(pairwise(a, b)), atol=1e-12)


def test_image_boxes():
    a = np.array([[0.0, 0, 2, 2], [5, 5, 5, 9]])
    b = np.array([[1.0, 0, 3, 2], [2, 0, 4, 2], [0, 0, 2, 2], [5, 5, 5, 9]])
    assert np.allclose(overlap.iou_2d(a, b), [[1 / 3, 0, 1, 0], [0, 0, 0, 0]])


def test_float32_is_computed_in_float64():
    a = CAR.astype(np.float32)
    assert overlap.iou_3d(a, a).dtype == np.float64
    assert overlap.iou_3d(a, a[:, ::1]).tolist() == [[pytest.approx(1, abs=1e-12)]]


def test_views_that_are_not_contiguous_are_fine():
    wide = np.zeros((3, 9))
    wide[:, :7] = CAR
    assert overlap.iou_bev(wide[::2, :7], wide[:, :7]).shape == (2, 3)


@pytest.mark.parametrize("function", [*IOUS, *SIGNED, overlap.intersection_bev, *(p for p, _ in PAIRED)])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_numbers_that_are_not_finite_are_refused(function, value):
    bad = np.concatenate([CAR, CAR])
    bad[1, 4] = value
    with pytest.raises(
        ValueError, match=rf"overlap\.{function.__name__}: boxes_b holds NaN or infinity .*in row 1"
    ):
        function(np.concatenate([CAR, CAR]), bad)
    with pytest.raises(
        ValueError, match=rf"overlap\.{function.__name__}: boxes_a holds NaN or infinity .*drop such"
    ):
        function(bad, np.concatenate([CAR, CAR]))


def test_nan_in_image_boxes_is_refused():
    with pytest.raises(ValueError, match=r"overlap\.iou_2d: boxes_a holds NaN or infinity"):
        overlap.iou_2d(np.full((1, 4), np.nan), np.zeros((1, 4)))


@pytest.mark.parametrize("function", [*IOUS, *SIGNED, overlap.intersection_bev, *(p for p, _ in PAIRED)])
def test_wrong_shapes_are_refused(function, unchecked):
    with pytest.raises(
        ValueError, match=rf"{function.__name__}: boxes_b must have shape \[n, 7\], got \[1, 6\]"
    ):
        function(CAR, CAR[:, :6])
    with pytest.raises(
        ValueError, match=rf"{function.__name__}: boxes_a must have shape \[n, 7\], got \[7\]"
    ):
        function(CAR[0], CAR)


def test_image_boxes_with_scores_are_refused(unchecked):
    with pytest.raises(ValueError, match=r"iou_2d: boxes_a must have shape \[n, 4\], got \[1, 5\]"):
        overlap.iou_2d(np.zeros((1, 5)), np.zeros((1, 4)))


@pytest.mark.parametrize("function", [p for p, _ in PAIRED])
def test_pairs_need_equally_many_rows(function, unchecked):
    with pytest.raises(ValueError, match=r"boxes_a has 1 rows but boxes_b has 2; pairs need equal numbers"):
        function(CAR, np.concatenate([CAR, CAR]))
