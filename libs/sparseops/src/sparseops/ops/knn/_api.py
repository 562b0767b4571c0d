"""Public functions of the nearest neighbours: rules, checks and the choice of the back end."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sparseops._checks import HALF_AND_FLOATS, check_device, check_dtype, check_positive, check_shape, wide
from sparseops._stacked import Named, check_stacked, first_rows
from sparseops.ops.knn import _ops

_MOST_POINTS = 2**31 - 1


class Neighbours(NamedTuple):
    """The nearest points of every query, nearest first."""

    squared_distances: Float[Tensor, "*m k"]
    """In the square of the unit of the coordinates; inf where there is no further point."""
    idx: Int[Tensor, "*m k"]
    """Rows of the points, int64; -1 where there is no further point."""


def knn(queries: Float[Tensor, "b m 3"], points: Float[Tensor, "b n 3"], *, k: int) -> Neighbours:
    """Find the `k` nearest points of each query: squared distances and rows of `points`, both [b, m, k].

    Nearest first, of equal distances the lowest row. With fewer than k points the rest has row -1 and
    distance inf. Points or queries that are not finite find nothing and are not found; nor are points so far
    that the squared distance overflows. A query that is itself among the points finds itself.

    The gradient of a squared distance, 2 (query - point) times the upstream one, goes to both points of the
    pair, the same in every run; the choice of the pair has none, nor has distance inf.

    Exact and the same in every run. On the CPU a k-d tree, O((n + m k) log n) as a rule; on CUDA brute force,
    O(n m), for float32 and k up to 64, else the reference, which sorts all distances. float32 or float64;
    half precision is searched, and gives distances, in float32.

    Raises:
        TypeError: Coordinates that are not floating point, or of different types.
        ValueError: Wrong shape, different devices, k that is not positive, or 2^31 points.

    Example:
        >>> points = torch.tensor([[[0.0, 0.0, 0.0], [3.0, 0.0, 0.0], [1.0, 0.0, 0.0]]])
        >>> found = knn(points[:, :1], points, k=4)
        >>> found.idx.tolist(), found.squared_distances.tolist()
        ([[[0, 2, 1, -1]]], [[[0.0, 1.0, 9.0, inf]]])
    """
    return batched_neighbours("knn", ("queries", queries), ("points", points), k)


def knn_stacked(
    queries: Float[Tensor, "m 3"],
    query_counts: Int[Tensor, " b"],
    points: Float[Tensor, "n 3"],
    point_counts: Int[Tensor, " b"],
    *,
    k: int,
) -> Neighbours:
    """Find the `k` nearest points of the same sample: squared distances and rows, both [m, k].

    Samples lie one after the other; `query_counts` and `point_counts` say how many rows each has (reading
    them waits for the device). Rows count within the sample. Other rules as `knn`.

    Raises:
        TypeError: As `knn`, and counts that are not integers.
        ValueError: As `knn`, and counts that are negative or do not add up to the rows.

    Example:
        >>> points = torch.tensor([[0.0, 0.0, 0.0], [5.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
        >>> counts = torch.tensor([1, 2])
        >>> knn_stacked(points, counts, points, counts, k=2).idx.tolist()
        [[0, -1], [0, 1], [1, 0]]
    """
    return stacked_neighbours(
        "knn_stacked",
        ("queries", queries),
        ("query_counts", query_counts),
        ("points", points),
        ("point_counts", point_counts),
        k,
    )


def batched_neighbours(op: str, queries: Named, points: Named, k: int) -> Neighbours:
    """Check named arguments for `op` and search sample by sample, rows [b, m, k]."""
    check_shape(op, *queries, ("B", "M", 3))
    b, m, _ = queries[1].shape
    check_shape(op, *points, (b, "N", 3))
    n = points[1].shape[1]
    _check_common(op, queries, points, k)
    sample = torch.arange(b + 1, device=points[1].device)
    rows = wide(queries[1]).reshape(-1, 3), wide(points[1]).reshape(-1, 3)
    squared, idx = _ops.knn(rows[0], sample * m, rows[1], sample * n, k)
    return Neighbours(squared.view(b, m, k), idx.view(b, m, k))


def stacked_neighbours(
    op: str,
    queries: Named,
    query_counts: Named,
    points: Named,
    point_counts: Named,
    k: int,
) -> Neighbours:
    """Check named arguments for `op` and search among the points of the same sample, rows [m, k]."""
    check_stacked(op, queries, query_counts, points, point_counts)
    _check_common(op, queries, points, k)
    starts = [
        first_rows(counts, len(rows), op, name, wait=True).to(rows.device)
        for (name, counts), (_, rows) in ((query_counts, queries), (point_counts, points))
    ]
    return Neighbours(*_ops.knn(wide(queries[1]), starts[0], wide(points[1]), starts[1], k))


def _check_common(op: str, queries: Named, points: Named, k: int) -> None:
    check_dtype(op, *queries, HALF_AND_FLOATS)
    check_dtype(op, *points, (queries[1].dtype,))
    check_device(op, queries, points)
    check_positive(op, "k", k)
    if points[1].shape[-2] > _MOST_POINTS:
        raise ValueError(f"{op}: {points[0]} must be fewer than 2**31, got {points[1].shape[-2]}; split them")
