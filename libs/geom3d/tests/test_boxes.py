import math

import numpy as np
import pytest
from geom3d import boxes, transforms
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from shapely.geometry import Point, Polygon

METRES, EDGE, YAW = st.floats(-20, 20), st.floats(0.1, 10), st.floats(-7, 7)
BOX = st.tuples(METRES, METRES, METRES, EDGE, EDGE, EDGE, YAW).map(np.array)
TABLE = st.lists(BOX, max_size=4).map(lambda rows: np.array(rows).reshape(-1, 7))

CAR = np.array([10.0, -2.0, 0.5, 4.0, 2.0, 1.5, 0.3])


def random_points(seed: int, count: int = 200) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-25, 25, (count, 3))


def test_corners_come_in_the_documented_order():
    expected = [
        [2, 1, -0.5],
        [2, -1, -0.5],
        [-2, -1, -0.5],
        [-2, 1, -0.5],
        [2, 1, 0.5],
        [2, -1, 0.5],
        [-2, -1, 0.5],
        [-2, 1, 0.5],
    ]
    assert boxes.corners(np.array([0.0, 0, 0, 4, 2, 1, 0])).tolist() == expected


def test_yaw_is_counter_clockwise():
    front = boxes.corners(np.array([0.0, 0, 0, 4, 2, 1, math.pi / 2]))[[0, 1, 4, 5]].mean(axis=0)
    assert front == pytest.approx([0, 2, 0], abs=1e-12)


@given(BOX)
def test_corners_agree_with_scipy_rotations(box):
    local = boxes.corners(np.array([0.0, 0, 0, *box[3:6], 0]))
    expected = Rotation.from_euler("z", box[6]).apply(local) + box[:3]
    assert boxes.corners(box) == pytest.approx(expected, abs=1e-12)


@given(TABLE)
def test_corners_seen_from_above_are_those_of_the_bottom(table):
    assert np.allclose(boxes.corners_bev(table), boxes.corners(table)[:, :4, :2], atol=1e-12)


def test_leading_dimensions_are_kept():
    assert boxes.corners(np.ones((2, 0, 7))).shape == (2, 0, 8, 3)
    assert boxes.corners_bev(np.ones((3, 2, 7))).shape == (3, 2, 4, 2)


@given(BOX, st.integers(0, 1000))
def test_contains_agrees_with_shapely(box, seed):
    points = box[:3] + np.random.default_rng(seed).uniform(-8, 8, (40, 3))
    outline = Polygon(boxes.corners_bev(box))
    expected = [outline.covers(Point(p[:2])) and abs(p[2] - box[2]) <= box[5] / 2 for p in points]
    assert boxes.contains(points, box[None])[:, 0].tolist() == expected


def test_faces_belong_to_the_box():
    box = np.array([[1.0, 2.0, 3.0, 2.0, 4.0, 6.0, 0.0]])
    middles = box[:, :3] + np.concatenate([np.diag([1.0, 2.0, 3.0]), -np.diag([1.0, 2.0, 3.0])])
    assert boxes.contains(middles, box).all()
    assert not boxes.contains(box[:, :3] + (middles - box[:, :3]) * 1.001, box).any()


def test_margin_moves_every_face():
    box = np.array([[0.0, 0, 0, 2, 2, 2, 0]])
    point = np.array([[1.2, 0.0, 0.0, 99.0]])
    assert not boxes.contains(point, box).any()
    assert boxes.contains(point, box, margin=0.25).all()
    assert not boxes.contains(np.array([[0.9, 0.0, 0.0]]), box, margin=-0.25).any()


@pytest.mark.parametrize(("points", "count"), [(0, 3), (5, 0), (0, 0)])
def test_nothing_in_nothing(points, count):
    assert boxes.contains(np.zeros((points, 3)), np.ones((count, 7))).shape == (points, count)


def test_nan_points_and_negative_edges_hold_nothing():
    assert not boxes.contains(np.full((1, 3), np.nan), CAR[None]).any()
    assert not boxes.contains(np.zeros((1, 3)), np.array([[0.0, 0, 0, -1, -1, -1, 0]])).any()


@given(BOX, YAW, st.floats(0.5, 2), st.integers(0, 1000))
def test_moving_points_and_boxes_together_keeps_the_counts(box, yaw, factor, seed):
    # Slightly larger boxes on one side only would hide points on a face, so compare away from the faces.
    points = box[:3] + np.random.default_rng(seed).uniform(-8, 8, (40, 3))
    clear = boxes.contains(points, box[None], margin=1e-6) == boxes.contains(points, box[None], margin=-1e-6)
    points = points[clear[:, 0]]
    count = boxes.contains(points, box[None]).sum()
    turned = points @ transforms.rotation_z(yaw).T
    moves = [
        (points * [1, -1, 1], boxes.flip_y(box)),
        (points * [-1, 1, 1], boxes.flip_x(box)),
        (turned, boxes.rotate_z(box, yaw)),
        (points * factor, boxes.scale(box, factor)),
        (points + np.array([1.0, 2.0, 3.0]), boxes.translate(box, (1.0, 2.0, 3.0))),
    ]
    for moved, moved_box in moves:
        assert boxes.contains(moved, moved_box[None]).sum() == count


@given(BOX)
def test_flips_are_their_own_inverse(box):
    assert boxes.flip_y(boxes.flip_y(box)) == pytest.approx(box)
    assert boxes.flip_x(boxes.flip_x(box)) == pytest.approx(box)


def test_flipping_the_heading_mirrors_the_direction_of_travel():
    direction = np.array([math.cos(CAR[6]), math.sin(CAR[6])])
    for flipped, signs in ((boxes.flip_y(CAR), [1, -1]), (boxes.flip_x(CAR), [-1, 1])):
        assert [math.cos(flipped[6]), math.sin(flipped[6])] == pytest.approx(direction * signs)


@given(TABLE, YAW)
def test_rotating_back_gives_the_boxes_back(table, yaw):
    assert np.allclose(boxes.rotate_z(boxes.rotate_z(table, yaw), -yaw), table, atol=1e-9)


def test_each_box_can_turn_and_move_on_its_own():
    pair = np.stack([CAR, CAR])
    turned = boxes.rotate_z(pair, np.array([0.0, math.pi]))
    assert turned[0] == pytest.approx(CAR)
    assert turned[1, :2] == pytest.approx(-CAR[:2])
    moved = boxes.translate(pair, np.array([[0.0, 0, 0], [1, 1, 1]]))
    assert (moved - pair)[:, 0].tolist() == [0.0, 1.0]


@given(BOX, YAW, st.tuples(METRES, METRES, METRES))
def test_transform_moves_the_corners(box, yaw, offset):
    a_from_b = transforms.from_parts(transforms.rotation_z(yaw), np.array(offset))
    expected = transforms.apply(a_from_b, boxes.corners(box))
    assert np.allclose(boxes.corners(boxes.transform(a_from_b, box)), expected, atol=1e-9)


def test_transform_lays_a_tilted_heading_flat():
    tilt = np.eye(4)
    tilt[:3, :3] = Rotation.from_euler("y", 0.1).as_matrix()
    moved = boxes.transform(tilt, np.array([0.0, 0, 0, 4, 2, 1, math.pi / 2]))
    assert moved[6] == pytest.approx(math.pi / 2)


@given(BOX, st.integers(0, 1000))
def test_canonical_and_back_is_the_identity(box, seed):
    points = random_points(seed, 10)
    assert np.allclose(boxes.from_canonical(boxes.to_canonical(points, box), box), points, atol=1e-9)


@given(BOX)
def test_canonical_corners_are_the_half_edges(box):
    local = boxes.to_canonical(boxes.corners(box), box)
    assert np.allclose(np.abs(local), box[3:6] / 2, atol=1e-9)


def test_a_batch_of_boxes_takes_a_batch_of_point_sets():
    points = np.stack([random_points(0, 5), random_points(1, 5)])
    pair = np.stack([CAR, boxes.flip_y(CAR)])
    both = boxes.to_canonical(points, pair)
    assert np.allclose(both[1], boxes.to_canonical(points[1], pair[1]))


def test_volume_is_the_product_of_the_edges():
    assert boxes.volume(CAR[None]).tolist() == [12.0]


@pytest.mark.parametrize(
    ("yaw", "swapped"),
    [(0.0, False), (0.78, False), (math.pi / 4, True), (1.5, True), (3.0, False), (-2.0, True)],
)
def test_the_nearest_aligned_box_swaps_edges_from_45_degrees_on(yaw, swapped):
    x0, y0, x1, y1 = boxes.bev_aabb(np.array([0.0, 0, 0, 4, 2, 1, yaw]))
    assert (x1 - x0, y1 - y0) == ((2.0, 4.0) if swapped else (4.0, 2.0))


@pytest.mark.parametrize(
    "function",
    [
        boxes.corners,
        boxes.corners_bev,
        boxes.flip_y,
        boxes.flip_x,
        boxes.volume,
        boxes.bev_aabb,
        lambda b: boxes.contains(np.zeros((1, 3)), b),
        lambda b: boxes.rotate_z(b, 0.1),
        lambda b: boxes.scale(b, 2.0),
        lambda b: boxes.translate(b, (0, 0, 0)),
        lambda b: boxes.transform(np.eye(4), b),
        lambda b: boxes.to_canonical(np.zeros((1, 3)), b),
        lambda b: boxes.from_canonical(np.zeros((1, 3)), b),
    ],
)
def test_boxes_without_seven_columns_are_refused(function, unchecked):
    expected = r"boxes\.\w+: boxes must have shape \[\.\.\., 7\] \(x y z .*\), got \[2, 9\]; cut velocities"
    with pytest.raises(ValueError, match=expected):
        function(np.zeros((2, 9)))


def test_points_without_three_columns_are_refused(unchecked):
    with pytest.raises(
        ValueError, match=r"boxes\.contains: points must have shape \[n, 3 or more\], got \[4, 2\]"
    ):
        boxes.contains(np.zeros((4, 2)), CAR[None])
    for function in (boxes.to_canonical, boxes.from_canonical):
        with pytest.raises(
            ValueError, match=r"canonical: points must have shape \[\.\.\., 3\], got \[4, 4\]"
        ):
            function(np.zeros((4, 4)), CAR)


@pytest.mark.parametrize("factor", [0.0, -1.0])
def test_scaling_by_nothing_or_less_is_refused(factor):
    with pytest.raises(
        ValueError, match=r"boxes\.scale: factor must be positive, got .*; mirror with flip_x"
    ):
        boxes.scale(CAR, factor)


def test_an_offset_needs_three_components(unchecked):
    with pytest.raises(
        ValueError, match=r"boxes\.translate: offset_xyz must have shape \[\.\.\., 3\], got \[2\]"
    ):
        boxes.translate(CAR, (1.0, 2.0))


def test_gradients_flow_through_the_elementwise_functions():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    table = torch.tensor(np.stack([CAR, boxes.flip_x(CAR)]), requires_grad=True)
    points = torch.tensor(random_points(0, 3), requires_grad=True)
    for function in (boxes.corners, boxes.corners_bev, boxes.bev_aabb, boxes.volume, boxes.flip_x):
        assert torch.autograd.gradcheck(function, (table,))
    assert torch.autograd.gradcheck(boxes.to_canonical, (points, table[0]))
