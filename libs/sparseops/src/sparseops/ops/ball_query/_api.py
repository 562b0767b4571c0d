"""Public functions of the ball query: rules, checks and the choice of the back end."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sparseops._checks import HALF_AND_FLOAT32, check_device, check_dtype, check_positive, check_shape
from sparseops._stacked import check_stacked, first_rows
from sparseops.ops.ball_query import _ops


def ball_query(
    centres: Float[Tensor, "b m 3"], points: Float[Tensor, "b n 3"], *, radius: float, num_samples: int
) -> Int[Tensor, "b m s"]:
    """Find the first `num_samples` points within the radius of each centre: rows of `points` (int64).

    First means lowest index, not nearest. A point counts if its squared distance is below radius squared
    (strict, in float32; half precision is converted). Fewer hits are padded with the first one; a centre
    without any has 0 everywhere (use `ball_query_stacked` to be told which). Points with NaN are never found.
    No gradient.

    Source: PointNet++, section 3.2. Brute force for small clouds and on CUDA, O(m n); on the CPU cells of one
    radius for large ones. The result is the same.

    Raises:
        TypeError: Not float32 or half precision.
        ValueError: Wrong shape, different devices, or a radius or number that is not positive.

    Example:
        >>> points = torch.tensor([[[0.0, 0.0, 0.0], [3.0, 0.0, 0.0], [0.5, 0.0, 0.0]]])
        >>> ball_query(points[:, 2:], points, radius=1.0, num_samples=3).tolist()
        [[[0, 2, 0]]]
    """
    op = "ball_query"
    check_shape(op, "centres", centres, ("B", "M", 3))
    check_shape(op, "points", points, (len(centres), "N", 3))
    _check_common(op, centres, points, radius, num_samples)
    b, m, n = len(centres), centres.shape[1], points.shape[1]
    idx, _ = _ops.ball_query(
        centres.detach().float().reshape(-1, 3),
        torch.arange(b + 1, device=centres.device) * m,
        points.detach().float().reshape(-1, 3),
        torch.arange(b + 1, device=centres.device) * n,
        radius,
        num_samples,
    )
    return idx.view(b, m, num_samples)


def ball_query_stacked(
    centres: Float[Tensor, "m 3"],
    centre_counts: Int[Tensor, " b"],
    points: Float[Tensor, "n 3"],
    point_counts: Int[Tensor, " b"],
    *,
    radius: float,
    num_samples: int,
) -> tuple[Int[Tensor, "m s"], Bool[Tensor, " m"]]:
    """Find the first points of the same sample within the radius: rows [m, s] (int64) and an empty mask [m].

    Samples lie one after the other; `centre_counts` and `point_counts` say how many rows each has. Rows count
    within the sample. Rules as `ball_query`; an empty ball has row 0 everywhere and True in the mask.

    Raises:
        TypeError: As `ball_query`, and counts that are not integers.
        ValueError: As `ball_query`, and counts that do not add up to the rows (checked on the CPU only).

    Example:
        >>> points = torch.tensor([[0.0, 0.0, 0.0], [5.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
        >>> counts = torch.tensor([1, 2])
        >>> idx, empty = ball_query_stacked(points, counts, points, counts, radius=1.0, num_samples=2)
        >>> idx.tolist()
        [[0, 0], [0, 0], [1, 1]]
    """
    op = "ball_query_stacked"
    named = ("centre_counts", centre_counts), ("point_counts", point_counts)
    check_stacked(op, ("centres", centres), named[0], ("points", points), named[1])
    check_device(op, ("points", points), *named)
    _check_common(op, centres, points, radius, num_samples)
    starts = [
        first_rows(counts, len(rows), op, name, wait=False)
        for (name, counts), rows in zip(named, (centres, points), strict=True)
    ]
    rows = centres.detach().float(), points.detach().float()
    return _ops.ball_query(rows[0], starts[0], rows[1], starts[1], radius, num_samples)


def _check_common(op: str, centres: Tensor, points: Tensor, radius: float, samples: int) -> None:
    check_dtype(op, "centres", centres, HALF_AND_FLOAT32)
    check_dtype(op, "points", points, HALF_AND_FLOAT32)
    check_device(op, ("centres", centres), ("points", points))
    check_positive(op, "radius", radius)
    check_positive(op, "samples", samples)
