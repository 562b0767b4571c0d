"""Rotated IoU on the CPU: a thread owns rows of the table.

The area kernel of geom3d is compiled into these, and the disk cache of numba notices changes of this file
only: after changing `geom3d.kernels`, delete the cache (`__pycache__`) beside this file.
"""

from typing import no_type_check

import torch
from geom3d.kernels import rotated_intersection_area
from torch import Tensor

from sparseops._backend import sync_threads
from sparseops._numba import njit, prange


@njit(cache=True)
@no_type_check
def _iou(a, b):
    offset = b[2] - a[2]
    height = min(0.5 * a[5], offset + 0.5 * b[5]) - max(-0.5 * a[5], offset - 0.5 * b[5])
    if height <= 0.0:
        return 0.0
    area = rotated_intersection_area(a[0], a[1], a[3], a[4], a[6], b[0], b[1], b[3], b[4], b[6])
    if area <= 0.0:
        return 0.0
    common = area * height
    return common / (a[3] * a[4] * a[5] + b[3] * b[4] * b[5] - common)


@njit(cache=True, parallel=True)
@no_type_check
def _fill_table(boxes_a, boxes_b, out):
    for i in prange(boxes_a.shape[0]):
        for j in range(boxes_b.shape[0]):
            out[i, j] = _iou(boxes_a[i], boxes_b[j])


@njit(cache=True, parallel=True)
@no_type_check
def _fill_pairs(boxes_a, boxes_b, out):
    for i in prange(boxes_a.shape[0]):
        out[i] = _iou(boxes_a[i], boxes_b[i])


def iou(boxes_a: Tensor, boxes_b: Tensor, dtype: torch.dtype) -> Tensor:
    """Same table as the reference, up to rounding in float64."""
    out = torch.empty(len(boxes_a), len(boxes_b), dtype=dtype)
    sync_threads()
    _fill_table(boxes_a.contiguous().numpy(), boxes_b.contiguous().numpy(), out.numpy())
    return out


def paired_iou(boxes_a: Tensor, boxes_b: Tensor, dtype: torch.dtype) -> Tensor:
    """Same values as the reference, up to rounding in float64."""
    out = torch.empty(len(boxes_a), dtype=dtype)
    sync_threads()
    _fill_pairs(boxes_a.contiguous().numpy(), boxes_b.contiguous().numpy(), out.numpy())
    return out
