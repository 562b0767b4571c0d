"""Greedy suppression: neighbours by a window in x, cheap upper bounds of the IoU, then the exact area.

The area kernel of geom3d is compiled into this one, and the disk cache of numba notices changes of this file
only: after changing `geom3d.kernels`, delete the cache (`__pycache__`) beside this file.
"""

import math
from typing import no_type_check

import numpy as np
import torch
from geom3d.kernels import rotated_intersection_area
from torch import Tensor

from sparseops._numba import njit


@njit(cache=True)
@no_type_check
def _common_bound(boxes, cos, sin, i, j):
    """Upper bound of the common area: box i cut with the axis-aligned hull of box j in the frame of box i."""
    x, y = boxes[j, 0] - boxes[i, 0], boxes[j, 1] - boxes[i, 1]
    along, across = abs(x * cos[i] + y * sin[i]), abs(y * cos[i] - x * sin[i])
    c = abs(cos[i] * cos[j] + sin[i] * sin[j])
    s = abs(sin[i] * cos[j] - cos[i] * sin[j])
    hx, hy = 0.5 * boxes[i, 3], 0.5 * boxes[i, 4]
    px = 0.5 * (boxes[j, 3] * c + boxes[j, 4] * s)
    py = 0.5 * (boxes[j, 3] * s + boxes[j, 4] * c)
    wide = min(hx, along + px) - max(-hx, along - px)
    deep = min(hy, across + py) - max(-hy, across - py)
    return max(wide, 0.0) * max(deep, 0.0)


@njit(cache=True)
@no_type_check
def _suppress(boxes, labels, by_x, threshold, post_max, rotated):  # noqa: C901 - one loop nest over arrays
    n = boxes.shape[0]
    cos, sin = np.cos(boxes[:, 6]), np.sin(boxes[:, 6])
    volume = np.empty(n)
    radius = np.empty(n)
    widest = 0.0
    sorted_x = np.empty(n)
    for i in range(n):
        dx, dy = max(boxes[i, 3], 0.0), max(boxes[i, 4], 0.0)
        volume[i] = dx * dy * max(boxes[i, 5], 0.0)
        radius[i] = 0.5 * math.sqrt(dx * dx + dy * dy)
        widest = max(widest, radius[i])
        sorted_x[i] = boxes[by_x[i], 0]
    suppressed = np.zeros(n, np.bool_)
    kept = np.empty(min(n, post_max), np.int64)
    count = 0
    # IoU > t is the same as common volume > share * (sum of both volumes).
    share = threshold / (1.0 + threshold)
    for i in range(n):
        if count == kept.shape[0]:
            break
        if suppressed[i]:
            continue
        kept[count] = i
        count += 1
        if volume[i] <= 0.0:
            continue
        reach = radius[i] + widest
        for k in range(np.searchsorted(sorted_x, boxes[i, 0] - reach), n):
            if sorted_x[k] > boxes[i, 0] + reach:
                break
            j = by_x[k]
            if j <= i or suppressed[j] or labels[j] != labels[i]:
                continue
            x, y, z = boxes[j, 0] - boxes[i, 0], boxes[j, 1] - boxes[i, 1], boxes[j, 2] - boxes[i, 2]
            touch = radius[i] + radius[j]
            if x * x + y * y >= touch * touch:
                continue
            hi, hj = 0.5 * boxes[i, 5], 0.5 * boxes[j, 5]
            height = max(min(hi, z + hj) - max(-hi, z - hj), 0.0)
            # The bounds get a little slack for rounding; the exact comparison below decides.
            wanted = share * (volume[i] + volume[j]) * (1.0 - 1e-9)
            common = _common_bound(boxes, cos, sin, i, j) * height
            if min(volume[i], volume[j]) < wanted or common < wanted:
                continue
            # Without yaw the bound is the common area.
            if rotated:
                if _common_bound(boxes, cos, sin, j, i) * height < wanted:
                    continue
                common = height * rotated_intersection_area(
                    boxes[i, 0], boxes[i, 1], boxes[i, 3], boxes[i, 4], boxes[i, 6],
                    boxes[j, 0], boxes[j, 1], boxes[j, 3], boxes[j, 4], boxes[j, 6],
                )  # fmt: skip
            union = volume[i] + volume[j] - common
            if union > 0.0 and common / union > threshold:
                suppressed[j] = True
    return kept[:count].copy()


def nms(boxes: Tensor, labels: Tensor, threshold: float, post_max: int, rotated: bool) -> Tensor:
    """Same results as the reference, except for an IoU within 1e-12 of the threshold."""
    if not rotated:
        boxes = torch.cat([boxes[:, :6], torch.zeros_like(boxes[:, 6:])], dim=1)
    array = boxes.contiguous().numpy()
    by_x = np.argsort(array[:, 0], kind="stable")
    kept = _suppress(array, labels.contiguous().numpy(), by_x, float(threshold), post_max, rotated)
    return torch.from_numpy(kept)
