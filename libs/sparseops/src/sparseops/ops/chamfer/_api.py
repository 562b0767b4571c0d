"""Public function of the Chamfer distance.

The search is that of `sparseops.knn`, the rows come from `sparseops.weighted_sum`, with their back ends.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sparseops.ops.knn._api import batched_neighbours
from sparseops.ops.weighted_sum import weighted_sum


class ChamferDistance(NamedTuple):
    """Nearest neighbours between two sets, both ways."""

    squared_from_a: Float[Tensor, "b n"]
    """Squared distance of every point of a to the nearest of b; inf where there is none."""
    squared_from_b: Float[Tensor, "b m"]
    """Squared distance of every point of b to the nearest of a; inf where there is none."""
    nearest_in_b: Int[Tensor, "b n"]
    """Row of b for every point of a, int64; -1 where there is none."""
    nearest_in_a: Int[Tensor, "b m"]
    """Row of a for every point of b, int64; -1 where there is none."""


def chamfer_distance(a: Float[Tensor, "b n 3"], b: Float[Tensor, "b m 3"]) -> ChamferDistance:
    """Measure the squared distance of every point to the nearest point of the other set.

    Distances are not reduced: take `squared_from_a.mean(1) + squared_from_b.mean(1)`, or what the loss at
    hand says. Of equal distances the lowest row is taken. A point without a neighbour (the other set is empty
    or nothing in it is finite) has row -1 and distance inf, as do points that are not finite.

    The gradient 2 (a - b) times the upstream one goes to both points of a pair, the same in every run; the
    choice of the neighbour has none, nor has a point without. Cost and back ends as `knn` with k = 1.

    Source: Fan et al., A Point Set Generation Network, section 3.2.

    Raises:
        TypeError: Coordinates that are not float32 or float64.
        ValueError: Wrong shape, different types or devices.

    Example:
        >>> a, b = torch.tensor([[[0.0, 0.0, 0.0]]]), torch.tensor([[[3.0, 0.0, 0.0], [0.0, 2.0, 0.0]]])
        >>> distance = chamfer_distance(a, b)
        >>> distance.squared_from_a.tolist(), distance.squared_from_b.tolist()
        ([[4.0]], [[9.0, 4.0]])
    """
    _, in_b = batched_neighbours("chamfer_distance", ("a", a), ("b", b), 1)
    _, in_a = batched_neighbours("chamfer_distance", ("b", b), ("a", a), 1)
    return ChamferDistance(
        _squared_to(a, b, in_b[..., 0]), _squared_to(b, a, in_a[..., 0]), in_b[..., 0], in_a[..., 0]
    )


def _squared_to(points: Tensor, others: Tensor, nearest: Tensor) -> Tensor:
    """Return the squared distances [b, n] of points [b, n, 3] to the given rows of the others."""
    first = torch.arange(len(others), device=others.device)[:, None] * others.shape[1]
    rows = torch.where(nearest < 0, -1, nearest + first).view(-1, 1)
    neighbours = weighted_sum(others.reshape(-1, 3), rows, torch.ones_like(rows, dtype=others.dtype))
    # Filled before the squares, so that no infinite coordinate reaches a gradient.
    missing = nearest < 0
    offset = (neighbours.view(points.shape) - points).masked_fill(missing[..., None], 0)
    x, y, z = offset.unbind(-1)
    return ((x * x + y * y) + z * z).masked_fill(missing, torch.inf)
