"""Which points lie in which cubes, without comparing each with each."""

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int64
from torch import Tensor

MOST_PAIRS = 1 << 22
"""Pairs that are compared at once, except where one cube alone has more."""


def pairs_in_cubes(
    points: Float[Tensor, "n 3"],
    centers: Float[Tensor, "m 3"],
    *,
    point_groups: Int64[Tensor, " n"],
    center_groups: Int64[Tensor, " m"],
    half_m: Float[Tensor, " m"],
    most_pairs: int = MOST_PAIRS,
) -> Iterator[tuple[Int64[Tensor, " p"], Int64[Tensor, " p"]]]:
    """Yield the pairs of a cube and a point strictly inside it: rows of `centers` and of `points`.

    Some cubes at a time, each with all of its points; cubes ascend. A pair must be of the same group. Points
    are sorted along x, so that only the slab of a cube is compared: O(n log n + pairs in slabs). Memory is
    bounded by `most_pairs`, or by the slab of one cube.

    Args:
        point_groups: Not negative.
        center_groups: Not negative.
        half_m: Half the edge of every cube in metres; inf: all points of the group are in it.
        most_pairs: Pairs of a cube and a point of its slab that are compared at once.

    Example:
        >>> points = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.5, 0.0]])
        >>> group = torch.zeros(3, dtype=torch.int64)
        >>> [(cubes, rows)] = pairs_in_cubes(
        ...     points, points[:1], point_groups=group, center_groups=group[:1], half_m=torch.ones(1)
        ... )
        >>> cubes.tolist(), sorted(rows.tolist())
        ([0, 0], [0, 2])
    """
    if not len(points) or not len(centers):
        return
    keys, begins, ends = _slabs(points, centers, point_groups, center_groups, half_m)
    keys, order = keys.sort()
    first = torch.searchsorted(keys, begins)
    counts = (torch.searchsorted(keys, ends, right=True) - first).clamp(min=0)
    before = counts.cumsum(0) - counts
    cubes_at_once = torch.bincount(before // most_pairs).tolist()
    for cubes in torch.arange(len(centers), device=points.device).split(cubes_at_once):
        if len(cubes):
            cube = cubes.repeat_interleave(counts[cubes])
            step = torch.arange(len(cube), device=cube.device) + before[cubes[0]] - before[cube]
            row = order[first[cube] + step]
            inside = ((points[row] - centers[cube]).abs() < half_m[cube, None]).all(1)
            yield cube[inside], row[inside]


def _slabs(
    points: Tensor, centers: Tensor, point_groups: Tensor, center_groups: Tensor, half_m: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return x of the points, and where the slabs begin and end, on a line where no groups overlap."""
    x, middle = points[:, 0].double(), centers[:, 0].double()
    lowest, highest = x.min() - 0.25, x.max() + 0.25
    # A little wider: the slab must hold all points that single precision finds inside the cube.
    reach = half_m.double() * 1.0001
    begins, ends = (edge.clamp(lowest, highest) for edge in (middle - reach, middle + reach))
    length = highest - lowest + 1
    return (
        x + point_groups * length,
        begins + center_groups * length,
        ends + center_groups * length,
    )
