"""Rotated IoU on the GPU: one program fills a tile of the table, in float64 as every other back end.

Tiles whose pairs are all too far apart to touch skip the geometry.
"""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

# Sizes at which the float64 geometry stays in registers.
_ROWS, _COLUMNS = 16, 16
_PAIRS = 128


@triton.jit
@no_type_check
def _clamp(value, half):
    return tl.minimum(tl.maximum(value, -half), half)


@triton.jit
@no_type_check
def _common_length(offset, half_a, half_b):
    return tl.maximum(tl.minimum(half_a, offset + half_b) - tl.maximum(-half_a, offset - half_b), 0.0)


@triton.jit
@no_type_check
def _edge_integral(x0, y0, x1, y1, hx, hy, origin):
    """Integrate clamp(x, -hx, hx) - origin over dy along the part of a segment with |y| <= hy."""
    from_y, to_y = _clamp(y0, hy), _clamp(y1, hy)
    rise = tl.where(y1 == y0, 1.0, y1 - y0)
    from_x = tl.where(from_y == y0, x0, x0 + (x1 - x0) * ((from_y - y0) / rise))
    to_x = tl.where(to_y == y1, x1, x0 + (x1 - x0) * ((to_y - y0) / rise))
    low, high = tl.minimum(from_x, to_x), tl.maximum(from_x, to_x)
    inner_low, inner_high = _clamp(low, hx), _clamp(high, hx)
    left = tl.minimum(high, -hx) - tl.minimum(low, -hx)
    right = tl.maximum(high, hx) - tl.maximum(low, hx)
    inner = 0.5 * (inner_low + inner_high) * (inner_high - inner_low)
    # A vertical segment has no width to share out.
    width = tl.where(high > low, high - low, 1.0)
    mean = tl.where(high > low, (inner + hx * (right - left)) / width, inner_low)
    return (mean - origin) * (to_y - from_y)


@triton.jit
@no_type_check
def pair_iou(a, i, a_valid, b, j, b_valid, ROTATED: tl.constexpr):
    """Return the IoU in space of the boxes i of table a and j of table b (both of `box_table`), broadcast."""
    a += i * 8
    b += j * 8
    x = tl.load(b, mask=b_valid, other=0.0) - tl.load(a, mask=a_valid, other=0.0)
    y = tl.load(b + 1, mask=b_valid, other=0.0) - tl.load(a + 1, mask=a_valid, other=0.0)
    z = tl.load(b + 2, mask=b_valid, other=0.0) - tl.load(a + 2, mask=a_valid, other=0.0)
    # Half edges.
    ax, bx = tl.load(a + 3, mask=a_valid, other=0.0), tl.load(b + 3, mask=b_valid, other=0.0)
    ay, by = tl.load(a + 4, mask=a_valid, other=0.0), tl.load(b + 4, mask=b_valid, other=0.0)
    az, bz = tl.load(a + 5, mask=a_valid, other=0.0), tl.load(b + 5, mask=b_valid, other=0.0)
    if ROTATED:
        # The square of a sum is at most twice the sum of the squares: no roots needed to tell far pairs.
        near = x * x + y * y < 2.0 * (ax * ax + ay * ay + bx * bx + by * by)
        area = x * 0.0
        if tl.max(near.to(tl.int32)) > 0:
            a_cos, a_sin = tl.load(a + 6, mask=a_valid, other=1.0), tl.load(a + 7, mask=a_valid, other=0.0)
            b_cos, b_sin = tl.load(b + 6, mask=b_valid, other=1.0), tl.load(b + 7, mask=b_valid, other=0.0)
            along, across = x * a_cos + y * a_sin, y * a_cos - x * a_sin
            cos, sin = a_cos * b_cos + a_sin * b_sin, a_cos * b_sin - a_sin * b_cos
            # Two corners of b relative to its centre; the others lie opposite.
            px, py = bx * cos - by * sin, bx * sin + by * cos
            qx, qy = -bx * cos - by * sin, by * cos - bx * sin
            origin = _clamp(along, ax)
            area = _edge_integral(along + px, across + py, along + qx, across + qy, ax, ay, origin)
            area += _edge_integral(along + qx, across + qy, along - px, across - py, ax, ay, origin)
            area += _edge_integral(along - px, across - py, along - qx, across - qy, ax, ay, origin)
            area += _edge_integral(along - qx, across - qy, along + px, across + py, ax, ay, origin)
            area = tl.maximum(tl.minimum(tl.minimum(area, 4.0 * ax * ay), 4.0 * bx * by), 0.0)
            area = tl.where(near, area, 0.0)
    else:
        area = _common_length(x, ax, bx) * _common_length(y, ay, by)
    common = area * _common_length(z, az, bz)
    union = 8.0 * (ax * ay * az + bx * by * bz) - common
    return tl.where(common > 0.0, common / tl.where(common > 0.0, union, 1.0), 0.0)


@triton.jit
@no_type_check
def _table_kernel(a, b, out, n, m, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    i = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)[:, None]
    j = tl.program_id(1).to(tl.int64) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    iou = pair_iou(a, i, i < n, b, j, j < m, ROTATED=True)
    tl.store(out + i * m + j, iou.to(out.dtype.element_ty), mask=(i < n) & (j < m))


@triton.jit
@no_type_check
def _pairs_kernel(a, b, out, n, PAIRS: tl.constexpr):
    i = tl.program_id(0).to(tl.int64) * PAIRS + tl.arange(0, PAIRS)
    iou = pair_iou(a, i, i < n, b, i, i < n, ROTATED=True)
    tl.store(out + i, iou.to(out.dtype.element_ty), mask=i < n)


def box_table(boxes: Tensor) -> Tensor:
    """Return centre, half edges (not negative), cos and sin of the yaw of float64 boxes [n, 7]: [n, 8]."""
    half, yaw = boxes[:, 3:6].clamp(min=0) / 2, boxes[:, 6:]
    return torch.cat([boxes[:, :3], half, torch.cos(yaw), torch.sin(yaw)], dim=1)


def iou(boxes_a: Tensor, boxes_b: Tensor, dtype: torch.dtype) -> Tensor:
    """Same table as the reference, up to rounding in float64."""
    n, m = len(boxes_a), len(boxes_b)
    out = torch.empty(n, m, dtype=dtype, device=boxes_a.device)
    if out.numel():
        grid = (triton.cdiv(n, _ROWS), triton.cdiv(m, _COLUMNS))
        tables = box_table(boxes_a), box_table(boxes_b)
        with torch.cuda.device_of(out):
            _table_kernel[grid](*tables, out, n, m, ROWS=_ROWS, COLUMNS=_COLUMNS)
    return out


def paired_iou(boxes_a: Tensor, boxes_b: Tensor, dtype: torch.dtype) -> Tensor:
    """Same values as the reference, up to rounding in float64."""
    n = len(boxes_a)
    out = torch.empty(n, dtype=dtype, device=boxes_a.device)
    if n:
        tables = box_table(boxes_a), box_table(boxes_b)
        with torch.cuda.device_of(out):
            _pairs_kernel[(triton.cdiv(n, _PAIRS),)](*tables, out, n, PAIRS=_PAIRS)
    return out
