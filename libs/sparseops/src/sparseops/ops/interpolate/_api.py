"""Public functions of the interpolation between three points.

The search is that of `sparseops.knn`, the sum that of `sparseops.weighted_sum`, with their back ends.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sparseops._checks import HALF_AND_FLOATS, INTEGERS, check_device, check_dtype, check_shape, wide
from sparseops._values import ANY_BELOW, checked_rows
from sparseops.ops.knn._api import batched_neighbours, stacked_neighbours
from sparseops.ops.weighted_sum._api import checked_weighted_sum

_TINY = 1e-8


def three_nn(
    unknown: Float[Tensor, "b n 3"], known: Float[Tensor, "b m 3"]
) -> tuple[Float[Tensor, "b n 3"], Int[Tensor, "b n 3"]]:
    """Find the three nearest known points of each unknown one: distances and rows, both [b, n, 3].

    Nearest first, of equal distances the lowest row. The distances are not squared. With fewer than three
    known points row 0 is repeated with distance inf, which `inverse_distance_weights` turns into weight 0; so
    it is for points that are not finite. Gradients go to both points of a pair, as in `knn`; there is none at
    distance 0, where the slope has no direction, and none at inf. Types, cost and back ends as `knn`.

    Source: PointNet++, section 3.4.

    Raises:
        TypeError: Coordinates that are not floating point, or of different types.
        ValueError: Wrong shape or different devices.

    Example:
        >>> known = torch.tensor([[[0.0, 0.0, 0.0], [3.0, 0.0, 0.0]]])
        >>> distances, idx = three_nn(torch.tensor([[[2.0, 0.0, 0.0]]]), known)
        >>> distances.tolist(), idx.tolist()
        ([[[1.0, 2.0, inf]]], [[[1, 0, 0]]])
    """
    squared, idx = batched_neighbours("three_nn", ("unknown", unknown), ("known", known), 3)
    return _root(squared), idx.clamp(min=0)


def three_nn_stacked(
    unknown: Float[Tensor, "n 3"],
    unknown_counts: Int[Tensor, " b"],
    known: Float[Tensor, "m 3"],
    known_counts: Int[Tensor, " b"],
) -> tuple[Float[Tensor, "n 3"], Int[Tensor, "n 3"]]:
    """Find the three nearest known points of the same sample: distances and rows of `known`, both [n, 3].

    Samples lie one after the other; the counts say how many rows each has (reading them waits for the
    device). Rows count from the start of `known`, over all samples, ready for `three_interpolate_stacked`.
    The row repeated at distance inf is the first of the sample. Other rules as `three_nn`.

    Raises:
        TypeError: As `three_nn`, and counts that are not integers.
        ValueError: As `three_nn`, and counts that are negative or do not add up to the rows.

    Example:
        >>> points = torch.tensor([[0.0, 0.0, 0.0], [5.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
        >>> counts = torch.tensor([1, 2])
        >>> three_nn_stacked(points, counts, points, counts)[1].tolist()
        [[0, 0, 0], [1, 2, 1], [2, 1, 1]]
    """
    squared, idx = stacked_neighbours(
        "three_nn_stacked",
        ("unknown", unknown),
        ("unknown_counts", unknown_counts),
        ("known", known),
        ("known_counts", known_counts),
        3,
    )
    first = known_counts.cumsum(0) - known_counts
    start = torch.repeat_interleave(first.to(idx.device), unknown_counts.to(idx.device), output_size=len(idx))
    # The first row of a sample without known points may lie behind the last row of all.
    return _root(squared), (idx.clamp(min=0) + start[:, None]).clamp(max=max(len(known) - 1, 0))


def _root(squared: Tensor) -> Tensor:
    """The square root, with a gradient of 0 instead of infinity at 0."""
    apart = squared > 0
    return torch.where(apart, torch.where(apart, squared, 1.0).sqrt(), squared)


def inverse_distance_weights(distances: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n 3"]:
    """Weigh neighbours by 1 / (distance + 1e-8), divided by the sum of the three; inf weighs 0.

    All 0 if every distance is inf. Half precision is computed in float32 and returned in its type.
    Differentiable.

    Raises:
        TypeError: Distances that are not floating point.

    Example:
        >>> inverse_distance_weights(torch.tensor([[1.0, 3.0, torch.inf]])).tolist()
        [[0.75, 0.25, 0.0]]
    """
    check_dtype("inverse_distance_weights", "distances", distances, HALF_AND_FLOATS)
    inverse = 1 / (wide(distances) + _TINY)
    total = inverse.sum(-1, keepdim=True)
    return (inverse / torch.where(total > 0, total, 1.0)).to(distances.dtype)


def three_interpolate(
    features: Float[Tensor, "b c m"], idx: Int[Tensor, "b n 3"], weights: Float[Tensor, "b n 3"]
) -> Float[Tensor, "b c n"]:
    """Add up the features of three known points by weight; [b, c, n], channels first as in `group`.

    `idx` is that of `three_nn`. Without any known point the result is zero. Gradients and types as
    `weighted_sum`: to the features, the same in every run, and to weights that need one.

    Raises:
        TypeError: Features or weights that are not floating point, rows that are not integers.
        ValueError: Wrong shape or different devices.
        IndexError: A row of m or more (checked on the CPU; elsewhere such a row adds nothing).

    Example:
        >>> features = torch.tensor([[[10.0, 20.0]]])
        >>> idx, weights = torch.tensor([[[0, 1, 0]]]), torch.tensor([[[0.25, 0.75, 0.0]]])
        >>> three_interpolate(features, idx, weights).tolist()
        [[[17.5]]]
    """
    op = "three_interpolate"
    check_shape(op, "features", features, ("B", "C", "M"))
    b, channels, m = features.shape
    check_shape(op, "idx", idx, (b, "N", 3))
    check_shape(op, "weights", weights, tuple(idx.shape))
    check_dtype(op, "features", features, HALF_AND_FLOATS)
    check_dtype(op, "idx", idx, INTEGERS)
    check_device(op, ("features", features), ("idx", idx), ("weights", weights))
    if m:
        words = f"{op}: idx must be below {{limit}}, the known points, got {{high}}"
        idx = checked_rows(idx, ANY_BELOW, m, words)
    first = torch.arange(b, device=idx.device)[:, None, None] * m
    rows = torch.where((idx < 0) | (idx >= m), -1, idx.long() + first)
    stacked = features.transpose(1, 2).reshape(b * m, channels)
    out = checked_weighted_sum(op, stacked, rows.flatten(0, 1), weights.flatten(0, 1), k=3)
    return out.view(b, idx.shape[1], channels).transpose(1, 2)


def three_interpolate_stacked(
    features: Float[Tensor, "m c"], idx: Int[Tensor, "n 3"], weights: Float[Tensor, "n 3"]
) -> Float[Tensor, "n c"]:
    """Add up the features of three known points by weight; [n, c].

    `idx` is that of `three_nn_stacked`. Other rules as `three_interpolate`.

    Example:
        >>> idx, weights = torch.tensor([[0, 1, 0]]), torch.tensor([[0.25, 0.75, 0.0]])
        >>> three_interpolate_stacked(torch.tensor([[10.0], [20.0]]), idx, weights).tolist()
        [[17.5]]
    """
    if not len(features):
        idx = torch.full_like(idx, -1)
    return checked_weighted_sum("three_interpolate_stacked", features, idx, weights, k=3)
