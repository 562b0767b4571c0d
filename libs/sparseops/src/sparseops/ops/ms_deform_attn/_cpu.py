"""Deformable attention: loops over samples, vector instructions over the channels of a head.

Forward, a thread owns the output of a query; backward, it owns one head of one batch element and so all cells
it adds to. Nothing is shared, and the order of the additions never changes.
"""

from typing import no_type_check

import numpy as np
import torch
from torch import Tensor

from sparseops._backend import sync_threads
from sparseops._numba import njit, prange


# The sum over channels may be reordered into vector lanes; the order is fixed by the compiled code.
@njit(cache=True, fastmath={"reassoc", "contract", "nsz"})
@no_type_check
def _dot(a, b):
    total = a[0] * b[0]
    for d in range(1, a.shape[0]):
        total += a[d] * b[d]
    return total


@njit(cache=True, parallel=True)
@no_type_check
def _forward(value, shapes, starts, pixels, weights, out):
    queries, heads, levels, points = weights.shape[1:]
    one = value.dtype.type(1)
    for bq in prange(value.shape[0] * queries):
        b, q = bq // queries, bq % queries
        for h in range(heads):
            target = out[b, q, h]
            target[:] = 0
            for level in range(levels):
                height, width = shapes[level, 0], shapes[level, 1]
                for p in range(points):
                    x, y = pixels[b, q, h, level, p, 0], pixels[b, q, h, level, p, 1]
                    if not (x > -1 and y > -1 and x < width and y < height):
                        continue
                    x0, y0 = np.int64(np.floor(x)), np.int64(np.floor(y))
                    fx, fy = x - np.floor(x), y - np.floor(y)
                    weight = weights[b, q, h, level, p]
                    for corner in range(4):
                        cx, cy = x0 + corner % 2, y0 + corner // 2
                        if cx < 0 or cy < 0 or cx >= width or cy >= height:
                            continue
                        share = weight * (fx if corner % 2 else one - fx) * (fy if corner // 2 else one - fy)
                        source = value[b, starts[level] + cy * width + cx, h]
                        for d in range(source.shape[0]):
                            target[d] += share * source[d]


@njit(cache=True, parallel=True)
@no_type_check
def _backward(value, shapes, starts, pixels, weights, grad, grad_value, grad_pixels, grad_weights):  # noqa: PLR0913 - plain arrays are what a kernel takes
    queries, heads, levels, points = weights.shape[1:]
    one = value.dtype.type(1)
    for bh in prange(value.shape[0] * heads):
        b, h = bh // heads, bh % heads
        for cell in range(value.shape[1]):
            grad_value[b, cell, h, :] = 0
        for q in range(queries):
            upstream = grad[b, q, h]
            for level in range(levels):
                height, width = shapes[level, 0], shapes[level, 1]
                for p in range(points):
                    to_weight, to_x, to_y = one - one, one - one, one - one
                    x, y = pixels[b, q, h, level, p, 0], pixels[b, q, h, level, p, 1]
                    weight = weights[b, q, h, level, p]
                    if x > -1 and y > -1 and x < width and y < height:
                        x0, y0 = np.int64(np.floor(x)), np.int64(np.floor(y))
                        fx, fy = x - np.floor(x), y - np.floor(y)
                        for corner in range(4):
                            cx, cy = x0 + corner % 2, y0 + corner // 2
                            if cx < 0 or cy < 0 or cx >= width or cy >= height:
                                continue
                            wx, wy = (fx if corner % 2 else one - fx), (fy if corner // 2 else one - fy)
                            cell = starts[level] + cy * width + cx
                            dot = _dot(upstream, value[b, cell, h])
                            to_weight += wx * wy * dot
                            to_x += (wy if corner % 2 else -wy) * dot
                            to_y += (wx if corner // 2 else -wx) * dot
                            share = weight * wx * wy
                            target = grad_value[b, cell, h]
                            for d in range(upstream.shape[0]):
                                target[d] += share * upstream[d]
                    grad_weights[b, q, h, level, p] = to_weight
                    grad_pixels[b, q, h, level, p, 0] = to_x * weight
                    grad_pixels[b, q, h, level, p, 1] = to_y * weight


def ms_deform_attn(value: Tensor, shapes: list[int], locations: Tensor, weights: Tensor) -> Tensor:
    """Same results as the reference up to rounding."""
    b, _, heads, d = value.shape
    out = torch.empty(b, locations.shape[1], heads, d, dtype=value.dtype)
    level_shapes, starts, size_xy = _levels(shapes, value.dtype)
    sync_threads()
    _forward(
        value.contiguous().numpy(),
        level_shapes,
        starts,
        (locations * size_xy - 0.5).contiguous().numpy(),
        weights.contiguous().numpy(),
        out.numpy(),
    )
    return out.flatten(2)


def ms_deform_attn_backward(
    grad: Tensor, value: Tensor, shapes: list[int], locations: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients to value, locations and weights."""
    b, _, heads, d = value.shape
    grad_value = torch.empty(value.shape, dtype=value.dtype)
    grad_pixels = torch.empty(locations.shape, dtype=value.dtype)
    grad_weights = torch.empty(weights.shape, dtype=value.dtype)
    level_shapes, starts, size_xy = _levels(shapes, value.dtype)
    sync_threads()
    _backward(
        value.contiguous().numpy(),
        level_shapes,
        starts,
        (locations * size_xy - 0.5).contiguous().numpy(),
        weights.contiguous().numpy(),
        grad.reshape(b, -1, heads, d).contiguous().numpy(),
        grad_value.numpy(),
        grad_pixels.numpy(),
        grad_weights.numpy(),
    )
    return grad_value, grad_pixels * size_xy, grad_weights


def _levels(shapes: list[int], dtype: torch.dtype) -> tuple[np.ndarray, np.ndarray, Tensor]:
    """Return (height, width) and first cell of each level, and (width, height) [L, 1, 2] for locations."""
    level_shapes = np.asarray(shapes, np.int64).reshape(-1, 2)
    cells = level_shapes.prod(axis=1)
    size_xy = torch.from_numpy(level_shapes[:, ::-1].copy()).to(dtype)[:, None]
    return level_shapes, np.cumsum(cells) - cells, size_xy
