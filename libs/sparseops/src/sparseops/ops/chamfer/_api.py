"""Public function of the Chamfer distance.

Search, distances and gradients are those of `sparseops.knn`.
"""

from typing import NamedTuple

from jaxtyping import Float, Int
from torch import Tensor

from sparseops.ops.knn._api import batched_neighbours


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
    choice of the neighbour has none, nor has a point without. Types, cost and back ends as `knn` with k = 1.

    Source: Fan et al., A Point Set Generation Network, section 3.2.

    Raises:
        TypeError: Coordinates that are not floating point, or of different types.
        ValueError: Wrong shape or different devices.

    Example:
        >>> import torch
        >>> a, b = torch.tensor([[[0.0, 0.0, 0.0]]]), torch.tensor([[[3.0, 0.0, 0.0], [0.0, 2.0, 0.0]]])
        >>> distance = chamfer_distance(a, b)
        >>> distance.squared_from_a.tolist(), distance.squared_from_b.tolist()
        ([[4.0]], [[9.0, 4.0]])
    """
    to_b = batched_neighbours("chamfer_distance", ("a", a), ("b", b), 1)
    to_a = batched_neighbours("chamfer_distance", ("b", b), ("a", a), 1)
    return ChamferDistance(
        to_b.squared_distances[..., 0], to_a.squared_distances[..., 0], to_b.idx[..., 0], to_a.idx[..., 0]
    )
