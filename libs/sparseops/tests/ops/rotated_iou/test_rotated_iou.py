from pathlib import Path

import numpy as np
import pytest
import torch
from geom3d import overlap
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import affinity, box
from sparseops import (
    giou_3d,
    iou_3d,
    iou_aligned_3d,
    iou_aligned_bev,
    iou_bev,
    paired_giou_3d,
    paired_iou_3d,
    paired_iou_aligned_3d,
    paired_iou_bev,
)
from sparseops.ops.rotated_iou import _ops
from sparseops.ops.rotated_iou._cpu import iou as iou_cpu
from sparseops.ops.rotated_iou._reference import iou_reference

GOLDEN = Path(__file__).parents[2] / "golden" / "rotated_iou.npz"
TABLES = [iou_bev, iou_3d, iou_aligned_bev, iou_aligned_3d]
ROTATED_PAIRS = [paired_iou_bev, paired_iou_3d, paired_giou_3d]
PAIRS = [*ROTATED_PAIRS, paired_iou_aligned_3d]


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-6)])
@pytest.mark.parametrize(("function", "name"), [(iou_bev, "iou_bev"), (iou_3d, "iou_3d")])
def test_pairs_equal_the_polygon_clipping_reference(backend, function, name, dtype, tolerance) -> None:
    with np.load(GOLDEN) as golden:
        a, b = (torch.from_numpy(golden[key]).to(dtype) for key in ("boxes_a", "boxes_b"))
        ours = function(a, b).diagonal()
        assert ours.dtype == dtype
        np.testing.assert_allclose(ours.numpy(), golden[name], rtol=0, atol=tolerance)


@pytest.mark.golden
@pytest.mark.parametrize(("function", "name"), [(iou_bev, "iou_bev"), (iou_3d, "iou_3d")])
def test_the_official_kernel_differs_only_where_it_accepts_corners_outside(
    backend, imagepg_ops, function, name
) -> None:
    ours = function(imagepg_ops["iou_boxes_a"], imagepg_ops["iou_boxes_b"])
    over = imagepg_ops[name] - ours
    # Its tolerance of 1 cm for corners adds a sliver to one grazing pair of 1200; it never takes area away.
    assert (over.abs() > 1e-4).sum() <= 1
    assert over.min() > -1e-5 and over.max() < 5e-4


def test_tables_equal_polygons_of_shapely(backend: str) -> None:
    a, b = some_boxes(12), some_boxes(9)
    outlines = [[outline(row) for row in table.tolist()] for table in (a, b)]
    wanted = [[p.intersection(q).area / p.union(q).area for q in outlines[1]] for p in outlines[0]]
    np.testing.assert_allclose(iou_bev(a, b).numpy(), wanted, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(iou_aligned_bev, overlap.iou_aligned_bev), (iou_aligned_3d, overlap.iou_aligned_3d)],
)
def test_aligned_tables_equal_those_of_geom3d(ours, theirs) -> None:
    a, b = some_boxes(20), some_boxes(15)
    np.testing.assert_allclose(ours(a, b).numpy(), theirs(a.numpy(), b.numpy()), rtol=0, atol=1e-12)


def test_boxes_without_yaw_overlap_as_aligned_ones(backend: str) -> None:
    a, b = some_boxes(20), some_boxes(15)
    a[:, 6], b[:, 6] = 0, 0
    torch.testing.assert_close(iou_3d(a, b), iou_aligned_3d(a, b))
    torch.testing.assert_close(iou_bev(a, b), iou_aligned_bev(a, b))


@pytest.mark.parametrize(
    ("paired", "table"),
    [
        (paired_iou_bev, iou_bev),
        (paired_iou_3d, iou_3d),
        (paired_iou_aligned_3d, iou_aligned_3d),
        (paired_giou_3d, giou_3d),
    ],
)
def test_pairs_are_the_diagonal_of_the_table(backend: str, paired, table) -> None:
    a, b = some_boxes(30).float(), some_boxes(30).float()
    assert torch.equal(paired(a, b), table(a, b).diagonal())


@pytest.mark.slow
@settings(deadline=None, max_examples=40, derandomize=True)
@given(st.integers(0, 12), st.integers(0, 12), st.integers(0, 1000))
def test_back_ends_agree_on_a_coarse_grid(n: int, m: int, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    # Edges that coincide and corners on edges are the rule here; some edges are zero or negative.
    a, b = (torch.randint(-2, 5, (count, 7), generator=draw).double() for count in (n, m))
    a[:, 6] *= torch.pi / 4
    b[:, 6] *= torch.pi / 4
    ours = iou_cpu(a, b, torch.float64)
    torch.testing.assert_close(ours, iou_reference(a[:, None], b), rtol=0, atol=1e-12)


def test_iou_is_symmetric_and_one_with_itself(backend: str) -> None:
    boxes = torch.rand(20, 7) * 3 + 0.1
    assert torch.allclose(iou_3d(boxes, boxes), iou_3d(boxes, boxes).T, atol=1e-6)
    assert torch.allclose(iou_bev(boxes, boxes).diagonal(), torch.ones(20), atol=1e-6)


@pytest.mark.parametrize("function", TABLES)
def test_a_place_far_from_the_origin_costs_no_digits(backend: str, function) -> None:
    a, b = (torch.randint(-8, 9, (12, 7)).double() / 8 + torch.tensor([0, 0, 0, 2, 2, 2, 0]) for _ in "ab")
    far = torch.tensor([4e5, -5e6, 3e4, 0, 0, 0, 0]).double()
    torch.testing.assert_close(function(a + far, b + far), function(a, b), rtol=0, atol=1e-12)


@pytest.mark.parametrize("function", TABLES)
def test_no_boxes_give_an_empty_table(backend: str, function) -> None:
    assert function(torch.zeros(0, 7), torch.zeros(3, 7)).shape == (0, 3)
    assert function(torch.zeros(3, 7), torch.zeros(0, 7)).shape == (3, 0)


@pytest.mark.parametrize("function", TABLES)
def test_boxes_without_volume_overlap_nothing(backend: str, function) -> None:
    boxes = torch.tensor([[0.0] * 7, [0.0, 0, 0, -1, -1, 1, 0], [0.0, 0, 0, 2, 2, 2, 0]])
    assert function(boxes[:2], boxes).tolist() == [[0.0] * 3] * 2


@pytest.mark.parametrize("function", TABLES)
def test_touching_boxes_overlap_nothing(backend: str, function) -> None:
    one = torch.tensor([[0.0, 0, 0, 2, 2, 2, 0]])
    assert function(one, one + torch.tensor([2.0, 0, 0, 0, 0, 0, 0])).item() == 0


@pytest.mark.parametrize("column", range(7))
@pytest.mark.parametrize("function", TABLES)
def test_boxes_that_are_not_finite_overlap_nothing(backend: str, function, column: int) -> None:
    boxes = torch.tensor([[0.0, 0, 0, 2, 2, 2, 0]]).repeat(3, 1)
    boxes[1, column], boxes[2, column] = torch.nan, torch.inf
    assert function(boxes, boxes).tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 0]]


@pytest.mark.slow
def test_the_gradient_of_the_aligned_iou_is_right() -> None:
    a, b = (some_boxes(6).requires_grad_() for _ in "ab")
    # The yaw plays no part.
    assert torch.autograd.gradcheck(paired_iou_aligned_3d, (a, b))
    assert torch.autograd.gradcheck(iou_aligned_bev, (a, b))


@pytest.mark.slow
@pytest.mark.parametrize(
    "function", [paired_iou_bev, paired_iou_3d, paired_giou_3d, iou_bev, iou_3d, giou_3d]
)
def test_the_gradient_of_the_rotated_iou_is_right(backend: str, function) -> None:
    a, b = (some_boxes(5).requires_grad_() for _ in "ab")
    assert torch.autograd.gradcheck(function, (a, b))


@pytest.mark.parametrize("function", ROTATED_PAIRS)
def test_the_gradient_far_from_the_origin_is_that_near_it(function) -> None:
    a, b = some_boxes(20), some_boxes(20)
    far = torch.tensor([4e4, -5e4, 3e3, 0, 0, 0, 0]).double()
    near_a, far_a = a.clone().requires_grad_(), (a + far).requires_grad_()
    function(near_a, b).sum().backward()
    function(far_a, b + far).sum().backward()
    torch.testing.assert_close(far_a.grad, near_a.grad, rtol=0, atol=1e-9)


@pytest.mark.parametrize("function", ROTATED_PAIRS)
def test_boxes_that_are_equal_are_pulled_nowhere(function) -> None:
    a = some_boxes(20).requires_grad_()
    b = a.detach().clone().requires_grad_()
    function(a, b).sum().backward()
    for boxes in (a, b):
        assert boxes.grad is not None and boxes.grad.abs().max() < 1e-12


def test_boxes_apart_have_an_iou_without_gradient_and_a_giou_with_one() -> None:
    box = torch.tensor([[0.0, 0, 0, 2, 2, 2, 0.3]], requires_grad=True)
    other = torch.tensor([[9.0, 0, 0, 2, 2, 2, 0]])
    paired_iou_3d(box, other).sum().backward()
    assert box.grad is not None and not box.grad.any()
    paired_giou_3d(box, other).sum().backward()
    assert box.grad[0, 0] > 0.01


def test_giou_equals_that_of_geom3d(backend: str) -> None:
    a, b = some_boxes(40), some_boxes(40)
    a[:5] = b[:5]
    a[5:10, :2] += 20
    np.testing.assert_allclose(
        paired_giou_3d(a, b), overlap.paired_giou_3d(a.numpy(), b.numpy()), rtol=0, atol=1e-12
    )


@pytest.mark.slow
def test_a_box_finds_its_target_by_the_giou_loss() -> None:
    box = torch.tensor([[6.0, -3, 1, 2, 3, 1, 1.2]], requires_grad=True)
    target = torch.tensor([[0.0, 0, 0, 4, 1.8, 1.5, 0.4]])
    optimizer = torch.optim.Adam([box], lr=0.05)
    for _ in range(400):
        optimizer.zero_grad()
        loss = (1 - paired_giou_3d(box, target)).sum()
        loss.backward()
        optimizer.step()
    assert paired_iou_3d(box, target).item() > 0.9


@pytest.mark.parametrize("function", ROTATED_PAIRS)
def test_broken_and_empty_boxes_pull_nowhere(function) -> None:
    boxes = torch.tensor([[0.0] * 7, [torch.nan] * 7, [0.0, 0, 0, 2, 2, 2, 0]], requires_grad=True)
    function(boxes, torch.tensor([[0.5, 0.5, 0.5, 2, 2, 2, 0.1]]).expand(3, 7)).sum().backward()
    assert boxes.grad is not None and boxes.grad.isfinite().all()
    assert not boxes.grad[1].any() and boxes.grad[2].any()


def test_broken_and_empty_boxes_have_gradient_zero() -> None:
    boxes = torch.tensor([[0.0] * 7, [torch.nan] * 7, [0.0, 0, 0, 2, 2, 2, 0]], requires_grad=True)
    paired_iou_aligned_3d(boxes, torch.tensor([[0.5, 0.5, 0.5, 2, 2, 2, 0]]).expand(3, 7)).sum().backward()
    assert boxes.grad is not None
    assert not boxes.grad[:2].any() and boxes.grad[2, :6].all()


def test_result_does_not_depend_on_the_threads(threads) -> None:
    boxes = some_boxes(300)
    threads(1)
    alone = iou_3d(boxes, boxes)
    threads(2)
    assert torch.equal(iou_3d(boxes, boxes), alone)


@pytest.mark.slow
@pytest.mark.parametrize("op", [_ops.iou, _ops.paired_iou])
def test_the_operator_passes_opcheck(op) -> None:
    boxes = [some_boxes(4).requires_grad_() for _ in "ab"]
    torch.library.opcheck(op, (*boxes, torch.float32))


@pytest.mark.slow
@pytest.mark.parametrize("op", [_ops.iou_backward, _ops.paired_iou_backward])
def test_the_operator_of_the_gradient_passes_opcheck(op) -> None:
    grad = torch.rand(4, 4) if op is _ops.iou_backward else torch.rand(4)
    torch.library.opcheck(op, (grad, some_boxes(4), some_boxes(4)))


@pytest.mark.usefixtures("no_shape_checks")
@pytest.mark.parametrize("function", TABLES)
def test_wrong_arguments_are_named(function) -> None:
    good = torch.rand(2, 7)
    with pytest.raises(
        ValueError, match=rf"{function.__name__}: boxes_b must have shape \[N, 7\], got \[2, 5\]"
    ):
        function(good, good[:, :5])
    with pytest.raises(TypeError, match=r"boxes_a must be .* or float32 or float64, got int64"):
        function(good.long(), good)
    with pytest.raises(
        ValueError, match=r"boxes_b is on meta but boxes_a is on cpu; move it with .to\('cpu'\)"
    ):
        function(good, good.to("meta"))


@pytest.mark.usefixtures("no_shape_checks")
@pytest.mark.parametrize("function", PAIRS)
def test_pairs_need_equal_numbers(function) -> None:
    with pytest.raises(
        ValueError, match=rf"{function.__name__}: boxes_b must have shape \[2, 7\], got \[3, 7\]"
    ):
        function(torch.rand(2, 7), torch.rand(3, 7))


def some_boxes(count: int) -> torch.Tensor:
    """Boxes that overlap a good deal, float64."""
    return torch.rand(count, 7).double() * torch.tensor([4, 4, 2, 3, 3, 2, 6.3]) + 0.1


def outline(row: list[float]):
    """Return the polygon of a box seen from above."""
    x, y, _, dx, dy, _, yaw = row
    return affinity.rotate(
        box(x - dx / 2, y - dy / 2, x + dx / 2, y + dy / 2), yaw, origin=(x, y), use_radians=True
    )
