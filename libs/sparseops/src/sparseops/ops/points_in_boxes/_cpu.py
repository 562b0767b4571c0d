"""Point in box: a circle test first, so that far boxes cost one multiplication and one comparison."""

from typing import no_type_check

import numpy as np
import torch
from torch import Tensor

from sparseops._backend import sync_threads
from sparseops._numba import njit, prange
from sparseops.ops.points_in_boxes._reference import box_frames

# Compiled into the kernels of RoI pooling, whose disk caches do not notice a change here: delete them then
# (`__pycache__` beside their files).


@njit(cache=True)
@no_type_check
def is_inside(points, i, frame):
    """Tell whether row i of points lies in a box of `box_frames`."""
    x, y = points[i, 0] - frame[0], points[i, 1] - frame[1]
    if not x * x + y * y <= frame[8]:
        return False
    if not abs(points[i, 2] - frame[2]) <= frame[5]:
        return False
    along, across = x * frame[6] + y * frame[7], y * frame[6] - x * frame[7]
    return abs(along) < frame[3] and abs(across) < frame[4]


@njit(cache=True)
@no_type_check
def rows_inside(points, by_x, sorted_x, frame):
    """Return the rows of the points in a box, ascending; `by_x` sorts the points by x, NaN last."""
    reach = np.sqrt(max(np.float64(frame[8]), 0.0)) * 1.001
    first = np.searchsorted(sorted_x, frame[0] - reach)
    last = np.searchsorted(sorted_x, frame[0] + reach, side="right")
    found = np.empty(max(last - first, 0), np.int64)
    count = 0
    for k in range(first, last):
        if is_inside(points, by_x[k], frame):
            found[count] = by_x[k]
            count += 1
    return np.sort(found[:count])


@njit(cache=True, parallel=True)
@no_type_check
def _first_box(points, batch_index, frames, found):
    samples, m = frames.shape[0], frames.shape[1]
    for i in prange(points.shape[0]):
        b = batch_index[i]
        found[i] = -1
        if b < 0 or b >= samples:
            continue
        for j in range(m):
            if is_inside(points, i, frames[b, j]):
                found[i] = j
                break


def sorted_by_x(points: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of points [n, 3] by rising x, NaN last, and these x in float64."""
    x = points[:, 0].double().numpy()
    by_x = np.argsort(x, kind="stable")
    return by_x, x[by_x]


def points_in_boxes(points: Tensor, batch_index: Tensor, boxes: Tensor, margin: float) -> Tensor:
    """Same results as the reference, bit for bit."""
    found = torch.empty(len(points), dtype=torch.int64)
    frames = box_frames(boxes, margin).numpy()
    sync_threads()
    _first_box(points.contiguous().numpy(), batch_index.contiguous().numpy(), frames, found.numpy())
    return found
