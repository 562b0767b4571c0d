"""Compiled loops over the points of a scan. Import on first use only: this loads numba.

Kernels carry `no_type_check` because a run-time type check inside a compiled function cannot be compiled.
They release the interpreter lock, so that one scan can be read while another one is counted.
"""

# numba has no types for compiled functions.
# pyright: reportUnknownVariableType=false

from __future__ import annotations

from typing import no_type_check

import numpy as np
from geom3d.compiled import njit


@njit(cache=True, nogil=True)
@no_type_check
def count_pairs(pred, gt, train_ids, counts):
    """Write to `counts[0]` how many points have each pair of classes [prediction, ground truth].

    `train_ids` [65536] gives the class of the lower half of a label. `counts` [4, side, side], uint32, is
    overwritten.

    Points go to four matrices in turn, because adding to one cell again and again waits for the last
    addition. There is no branch that could be guessed wrong: the time hardly depends on the labels.
    """
    counts[:] = 0
    for i in range(pred.shape[0]):
        counts[i & 3, train_ids[np.uint16(pred[i])], train_ids[np.uint16(gt[i])]] += 1
    counts[0] += counts[1] + counts[2] + counts[3]


@njit(cache=True, nogil=True)
@no_type_check
def count_ranges(pred, gt, points, train_ids, limits, counts):
    """Add the pairs of classes to `counts` [r + 1, side, side] by distance; return the first bad row, or -1.

    A point belongs to the bin whose `limits` [r, 2] lie strictly below and above its distance; the last
    matrix takes the points of no bin. Bins are in order and do not overlap, so the number of bins that
    begin before the point tells which one it can be in, without a branch that would be guessed wrong.

    `limits` and `points` share a type: the official script computes distances in the float32 of the files,
    and a point that it takes as lying on a limit must lie there for us.
    """
    outside = limits.shape[0]
    for i in range(pred.shape[0]):
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        distance = np.sqrt(x * x + y * y + z * z)
        if not np.isfinite(distance):
            return i
        begun = 0
        for k in range(outside):
            begun += limits[k, 0] < distance
        inside = begun > 0 and distance < limits[max(begun - 1, 0), 1]
        layer = begun - 1 if inside else outside
        counts[layer, train_ids[np.uint16(pred[i])], train_ids[np.uint16(gt[i])]] += 1
    return -1
