"""Compiled loops of the completion: what donors would add, and how far off they are. Loads numba.

Kernels carry `no_type_check` because a run-time type check inside a compiled function cannot be compiled.
"""

# numba has no types for compiled functions.
# pyright: reportUnknownVariableType=false

from __future__ import annotations

from typing import no_type_check

import numpy as np
from geom3d.compiled import njit


@njit(cache=True)
@no_type_check
def count_new_cells(points, cells, starts, donors, half_size, covered):
    """Count for each donor the cells that its points inside the box hold and that are not covered, int64.

    Args:
        points: [n, 3], those of object i at starts[i] to starts[i + 1].
        cells: [n] cell of each point.
        starts: [m + 1].
        donors: Objects to look at.
        half_size: [3] half edges of the box about the origin; faces belong to it.
        covered: [cells] bool.
    """
    gains = np.zeros(len(donors), np.int64)
    counted_for = np.full(len(covered), -1, np.int64)
    for position, donor in enumerate(donors):
        for i in range(starts[donor], starts[donor + 1]):
            cell = cells[i]
            if covered[cell] or counted_for[cell] == position:
                continue
            if (
                abs(points[i, 0]) <= half_size[0]
                and abs(points[i, 1]) <= half_size[1]
                and abs(points[i, 2]) <= half_size[2]
            ):
                counted_for[cell] = position
                gains[position] += 1
    return gains


@njit(cache=True)
@no_type_check
def farthest_nearest(cloud, other, limit):
    """Return the greatest distance from a point of `cloud` to its nearest in `other`; inf above the limit.

    A point whose nearest cannot be farther than the worst so far is left at once, so shuffled clouds take
    little more than one look a point. No points in `cloud`: 0.
    """
    worst, most = 0.0, limit * limit
    for i in range(len(cloud)):
        nearest = np.inf
        for j in range(len(other)):
            dx, dy, dz = cloud[i, 0] - other[j, 0], cloud[i, 1] - other[j, 1], cloud[i, 2] - other[j, 2]
            square = dx * dx + dy * dy + dz * dz
            if square < nearest:
                nearest = square
                if nearest <= worst:
                    break
        if nearest > worst:
            worst = nearest
            if worst > most:
                return np.inf
    return np.sqrt(worst)
