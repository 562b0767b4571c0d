"""Greedy suppression: neighbours by a window in x, cheap upper bounds of the IoU, then the exact area.

The area kernel of geom3d is compiled into this one, and the disk cache of numba notices changes of this file
only: after changing `geom3d.kernels`, delete the cache (`__pycache__`) beside this file.
"""

import math
from typing import no_type_check

import numpy as np
import torch
from geom3d.kernels import rotated_intersection_area
from numba import njit
from torch import Tensor


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
def _suppress(boxes, by_x, threshold, post_max):  # noqa: C901 - one loop nest over plain arrays
    n = boxes.shape[0]
    cos, sin = np.cos(boxes[:, 6]), np.sin(boxes[:, 6])
    area = np.empty(n)
    radius = np.empty(n)
    widest = 0.0
    sorted_x = np.empty(n)
    for i in range(n):
        dx, dy = max(boxes[i, 3], 0.0), max(boxes[i, 4], 0.0)
        area[i] = dx * dy
        radius[i] = 0.5 * math.sqrt(dx * dx + dy * dy)
        widest = max(widest, radius[i])
        sorted_x[i] = boxes[by_x[i], 0]
    suppressed = np.zeros(n, np.bool_)
    kept = np.empty(min(n, post_max), np.int64)
    count = 0
    # IoU > t is the same as common area > share * (sum of both areas).
    share = threshold / (1.0 + threshold)
    for i in range(n):
        if count == kept.shape[0]:
            break
        if suppressed[i]:
            continue
        kept[count] = i
        count += 1
        if area[i] <= 0.0:
            continue
        reach = radius[i] + widest
        for k in range(np.searchsorted(sorted_x, boxes[i, 0] - reach), n):
            if sorted_x[k] > boxes[i, 0] + reach:
                break
            j = by_x[k]
            if j <= i or suppressed[j]:
                continue
            x, y = boxes[j, 0] - boxes[i, 0], boxes[j, 1] - boxes[i, 1]
            touch = radius[i] + radius[j]
            if x * x + y * y >= touch * touch:
                continue
            # The bounds get a little slack for rounding; the exact comparison below decides.
            wanted = share * (area[i] + area[j]) * (1.0 - 1e-9)
            if min(area[i], area[j]) < wanted or _common_bound(boxes, cos, sin, i, j) < wanted:
                continue
            if _common_bound(boxes, cos, sin, j, i) < wanted:
                continue
            common = rotated_intersection_area(
                boxes[i, 0], boxes[i, 1], boxes[i, 3], boxes[i, 4], boxes[i, 6],
                boxes[j, 0], boxes[j, 1], boxes[j, 3], boxes[j, 4], boxes[j, 6],
            )  # fmt: skip
            union = area[i] + area[j] - common
            if union > 0.0 and common / union > threshold:
                suppressed[j] = True
    return kept[:count].copy()


def nms_bev_cpu(boxes: Tensor, threshold: float, post_max: int) -> Tensor:
    """Same results as `nms_bev_reference`, except for an IoU within 1e-12 of the threshold."""
    array = boxes.double().contiguous().numpy()
    return torch.from_numpy(
        _suppress(array, np.argsort(array[:, 0], kind="stable"), float(threshold), post_max)
    )
