import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree
from sparseops import knn, knn_stacked
from sparseops.ops.knn import _cpu, _ops
from sparseops.ops.knn._cpu import knn as knn_cpu
from sparseops.ops.knn._reference import knn as knn_reference
from torch import Tensor


@pytest.mark.parametrize("k", [1, 3, 16, 70])
def test_rows_and_distances_equal_a_search_tree(backend: str, k: int) -> None:
    points, queries = torch.randn(1500, 3) * torch.tensor([9.0, 3.0, 0.1]), torch.randn(40, 3) * 5
    squared, idx = knn(queries[None], points[None], k=k)
    distance, rows = cKDTree(points.numpy()).query(queries.numpy(), list(range(1, k + 1)))
    assert torch.equal(idx[0], torch.from_numpy(rows))
    torch.testing.assert_close(squared[0].double().sqrt(), torch.from_numpy(distance), rtol=1e-5, atol=1e-6)


def test_equal_distances_come_in_row_order(backend: str) -> None:
    points = torch.tensor([[2.0, 0, 0], [0, 1, 0], [-1, 0, 0], [1, 0, 0], [0, 0, -1]]).repeat(20, 1)
    squared, idx = knn(torch.zeros(1, 1, 3), points[None], k=81)
    nearer = [row for row in range(100) if row % 5]
    assert idx[0, 0].tolist() == [*nearer, 0]
    assert squared[0, 0].tolist() == [1.0] * 80 + [4.0]


def test_missing_neighbours_have_row_minus_one_and_distance_inf(backend: str) -> None:
    points = torch.tensor([[[3.0, 0.0, 0.0], [1.0, 0.0, 0.0]]])
    squared, idx = knn(torch.zeros(1, 1, 3), points, k=4)
    assert idx.tolist() == [[[1, 0, -1, -1]]]
    assert squared.tolist() == [[[1.0, 9.0, torch.inf, torch.inf]]]


def test_what_is_not_finite_or_too_far_is_never_found(backend: str) -> None:
    points = torch.zeros(40, 3)
    points[:5, 1] = torch.tensor([torch.nan, torch.inf, -torch.inf, 1e30, -1e30])
    queries = torch.tensor([[0.0, 0, 0], [torch.nan, 0, 0], [torch.inf, 0, 0], [0, 1e30, 0]])
    squared, idx = knn(queries[None], points[None], k=36)
    assert idx[0, 0].tolist() == [*range(5, 40), -1]
    assert idx[0, 1:3].unique().tolist() == [-1]
    assert idx[0, 3].tolist() == [3] + [-1] * 35
    assert torch.equal(squared[0] < torch.inf, idx[0] >= 0)


def test_no_points_and_no_queries(backend: str) -> None:
    squared, idx = knn(torch.zeros(2, 3, 3), torch.zeros(2, 0, 3), k=2)
    assert idx.tolist() == [[[-1, -1]] * 3] * 2
    assert (squared == torch.inf).all()
    assert knn(torch.zeros(2, 0, 3), torch.zeros(2, 4, 3), k=2).idx.shape == (2, 0, 2)
    assert knn(torch.zeros(0, 1, 3), torch.zeros(0, 4, 3), k=2).idx.shape == (0, 1, 2)


def test_stacked_samples_equal_single_ones(backend: str) -> None:
    queries, points = torch.rand(9, 3), torch.rand(60, 3)
    query_counts, point_counts = torch.tensor([4, 0, 3, 2]), torch.tensor([20, 7, 0, 33])
    squared, idx = knn_stacked(queries, query_counts, points, point_counts, k=5)
    parts = zip(queries.split([4, 0, 3, 2]), points.split([20, 7, 0, 33]), strict=True)
    alone = [knn(q[None], p[None], k=5) for q, p in parts]
    assert torch.equal(idx, torch.cat([part.idx[0] for part in alone]))
    assert torch.equal(squared, torch.cat([part.squared_distances[0] for part in alone]))


def test_a_batch_equals_its_samples_one_by_one(backend: str) -> None:
    queries, points = torch.rand(3, 5, 3), torch.rand(3, 200, 3)
    both = knn(queries, points, k=4).idx
    assert torch.equal(
        both, torch.cat([knn(queries[i : i + 1], points[i : i + 1], k=4).idx for i in range(3)])
    )


def test_order_of_the_points_does_not_matter(backend: str) -> None:
    points, order = torch.rand(300, 3), torch.randperm(300)
    idx = knn(points[None, :20], points[None], k=6).idx
    assert torch.equal(order[knn(points[None, :20], points[None, order], k=6).idx], idx)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    st.integers(0, 120),
    st.integers(0, 12),
    st.integers(1, 20),
    st.sampled_from([1, 4, 1000]),
    st.sampled_from([torch.float32, torch.float64]),
    st.integers(0, 999),
)
def test_the_tree_agrees_with_the_reference(
    points: int, queries: int, k: int, steps: int, dtype: torch.dtype, seed: int
) -> None:
    draw = torch.Generator().manual_seed(seed)
    # A coarse grid makes many equal distances and equal points.
    cloud = torch.randint(-steps, steps, (points, 3), generator=draw).to(dtype) / 7
    around = torch.randint(-steps, steps, (queries, 3), generator=draw).to(dtype) / 7
    starts = torch.tensor([0, points // 3, points]), torch.tensor([0, queries // 2, queries])
    arguments = (around, starts[1], cloud, starts[0], k)
    for ours, reference in zip(knn_cpu(*arguments), knn_reference(*arguments), strict=True):
        assert torch.equal(ours, reference)


def test_clouds_of_every_scale_agree_with_the_reference() -> None:
    # Spacings from 2^-149 to 2^120 make a deep tree, and squares that vanish or overflow.
    cloud = torch.zeros(270, 3)
    cloud[:, 1] = torch.ldexp(torch.ones(270), torch.arange(-149, 121))
    starts = torch.tensor([0, 270])
    arguments = (cloud, starts, cloud, starts, 40)
    for ours, reference in zip(knn_cpu(*arguments), knn_reference(*arguments), strict=True):
        assert torch.equal(ours, reference)


def test_result_does_not_depend_on_the_threads(threads) -> None:
    for shape in ((1, 3000, 3), (5, 300, 3)):
        points = torch.rand(shape)
        threads(1)
        alone = knn(points, points, k=8)
        threads(2)
        assert all(torch.equal(a, b) for a, b in zip(knn(points, points, k=8), alone, strict=True))


@pytest.mark.slow
def test_the_operator_passes_opcheck() -> None:
    starts = torch.tensor([0, 4, 9])
    queries, points = (torch.rand(9, 3, requires_grad=True) for _ in range(2))
    torch.library.opcheck(_ops.knn, (queries, starts, points, starts, 3))


@pytest.mark.slow
def test_distances_have_the_gradient_of_the_chosen_pairs(backend: str) -> None:
    queries, points = (torch.randn(7, 3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    counts = torch.tensor([2, 0, 5])

    def squared(q: Tensor, p: Tensor) -> Tensor:
        # Fewer points than k in the first sample, none in the second.
        found = knn_stacked(q, counts, p, counts, k=3).squared_distances
        return found.masked_fill(found.isinf(), 0)

    assert torch.autograd.gradcheck(squared, (queries, points))
    assert torch.autograd.gradgradcheck(squared, (queries, points))
    assert torch.autograd.gradcheck(
        lambda q, p: knn(q[None], p[None], k=2).squared_distances, (queries, points)
    )


def test_what_finds_nothing_has_no_gradient(backend: str) -> None:
    queries = torch.tensor([[torch.inf, 0, 0], [torch.nan, 0, 0], [1.0, 0, 0]], requires_grad=True)
    points = torch.zeros(1, 3, requires_grad=True)
    knn(queries[None], points[None], k=2).squared_distances.sum().backward()
    assert queries.grad is not None and points.grad is not None
    assert queries.grad.tolist() == [[0.0] * 3, [0.0] * 3, [2.0, 0.0, 0.0]]
    assert points.grad.tolist() == [[-2.0, 0.0, 0.0]]


@pytest.mark.usefixtures("no_shape_checks")
def test_wrong_arguments_are_named() -> None:
    points, counts = torch.zeros(2, 4, 3), torch.tensor([4, 4])
    with pytest.raises(ValueError, match=r"knn: points must have shape \[1, N, 3\], got \[2, 4, 3\]"):
        knn(points[:1], points, k=2)
    with pytest.raises(TypeError, match=r"knn: queries must be .* or float32 or float64, got int64"):
        knn(points.long(), points, k=2)
    with pytest.raises(TypeError, match="knn: points must be float64, got float32"):
        knn(points.double(), points, k=2)
    with pytest.raises(ValueError, match="knn: k must be positive, got 0"):
        knn(points, points, k=0)
    with pytest.raises(
        ValueError, match=r"knn: points must be fewer than 2\*\*31, got 2147483648; split them"
    ):
        knn(points[:1], torch.zeros(1, 1, 3).expand(1, 2**31, 3), k=2)
    flat = points.flatten(0, 1)
    for wrong in ([4, 3], [9, -1]):
        with pytest.raises(
            ValueError, match="knn_stacked: point_counts must not be negative and must add up to 8 rows"
        ):
            knn_stacked(flat, counts, flat, torch.tensor(wrong), k=2)
    with pytest.raises(TypeError, match="knn_stacked: query_counts must be int32 or int64, got float32"):
        knn_stacked(flat, counts.float(), flat, counts, k=2)


@pytest.mark.parametrize("far_m", [1e3, 1e6, 1e18, 3e38])
def test_one_stray_point_makes_the_tree_one_level_deeper_at_most(far_m: float) -> None:
    points = torch.rand(3000, 3) * torch.tensor([70.0, 80.0, 4.0])
    *_, nodes, levels = _cpu._build(points.numpy(), 0, 3000)
    for axis, sign in ((0, 1), (1, -1), (2, 1)):
        stray = points.clone()
        stray[7, axis] = sign * far_m
        *_, far_nodes, far_levels = _cpu._build(stray.numpy(), 0, 3000)
        assert far_levels <= levels + 1
        assert inner_points(far_nodes) <= inner_points(nodes) + 2 * 3000


def inner_points(nodes: np.ndarray) -> int:
    """How many points all inner nodes of a tree have together: the work of building it."""
    total, work = 1, 0
    for child, first, last in nodes:
        if total == 0:
            break
        total += 1 if child else -1
        work += int(last - first) if child else 0
    return work
