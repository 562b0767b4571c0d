"""Sparse max pooling on the GPU: one program per block of rows and channels walks the offsets in order.

The gradients walk the transposed table, so that every result has one writer and sums have a fixed order.
"""
# ruff: noqa: PLR0913 (kernels take flat lists of arrays)

from typing import Any, no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

_ROWS = 32


@triton.jit
@no_type_check
def _maximum(
    features, table, best, source, rows, channels, volume, ROWS: tl.constexpr, CHANNELS: tl.constexpr
):
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)[None, :]
    present = channel < channels
    wide: tl.constexpr = tl.float64 if features.dtype.element_ty == tl.float64 else tl.float32
    top = tl.full((ROWS, CHANNELS), float("-inf"), wide)
    origin = tl.full((ROWS, CHANNELS), -1, tl.int32)
    for k in range(volume):
        neighbour = tl.load(table + row * volume + k, mask=row < rows, other=-1)[:, None]
        valid = (neighbour >= 0) & present
        value = tl.load(features + neighbour.to(tl.int64) * channels + channel, mask=valid, other=0).to(wide)
        # NaN differs from itself; the first one wins and stays.
        wins = valid & ((value > top) | (origin < 0) | ((value != value) & (top == top)))
        top = tl.where(wins, value, top)
        origin = tl.where(wins, neighbour, origin)
    address = row[:, None] * channels + channel
    inside = (row < rows)[:, None] & present
    tl.store(best + address, top.to(best.dtype.element_ty), mask=inside)
    tl.store(source + address, origin, mask=inside)


@triton.jit
@no_type_check
def _grad_first(
    grad_out, source, table, grad, rows, channels, volume, ROWS: tl.constexpr, CHANNELS: tl.constexpr
):
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)[None, :]
    present = channel < channels
    wide: tl.constexpr = tl.float64 if grad_out.dtype.element_ty == tl.float64 else tl.float32
    total = tl.zeros((ROWS, CHANNELS), wide)
    for k in range(volume):
        reader = tl.load(table + row * volume + k, mask=row < rows, other=-1)[:, None]
        valid = (reader >= 0) & present
        address = reader.to(tl.int64) * channels + channel
        picked = valid & (tl.load(source + address, mask=valid, other=-1) == row[:, None])
        total += tl.load(grad_out + address, mask=picked, other=0).to(wide)
    inside = (row < rows)[:, None] & present
    tl.store(grad + row[:, None] * channels + channel, total.to(grad.dtype.element_ty), mask=inside)


@triton.jit
@no_type_check
def _grad_all(
    grad_out, features, out, table, grad, rows, channels, volume, ROWS: tl.constexpr, CHANNELS: tl.constexpr
):
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)[None, :]
    present = channel < channels
    inside = (row < rows)[:, None] & present
    wide: tl.constexpr = tl.float64 if grad_out.dtype.element_ty == tl.float64 else tl.float32
    own = tl.load(features + row[:, None] * channels + channel, mask=inside, other=0).to(wide)
    total = tl.zeros((ROWS, CHANNELS), wide)
    for k in range(volume):
        reader = tl.load(table + row * volume + k, mask=row < rows, other=-1)[:, None]
        valid = (reader >= 0) & present
        address = reader.to(tl.int64) * channels + channel
        picked = valid & (tl.load(out + address, mask=valid, other=0).to(wide) == own)
        total += tl.load(grad_out + address, mask=picked, other=0).to(wide)
    tl.store(grad + row[:, None] * channels + channel, total.to(grad.dtype.element_ty), mask=inside)


def sparse_max_pool_table(features: Tensor, table: Tensor) -> tuple[Tensor, Tensor]:
    """Maximum over the inputs of every output row, and the input row it came from: the first one."""
    shape = len(table), features.shape[1]
    best = torch.empty(shape, dtype=features.dtype, device=features.device)
    source = torch.empty(shape, dtype=torch.int32, device=features.device)
    _launch(_maximum, (features, table, best, source), table, features.shape[1])
    return best, source


def grad_to_first_table(grad_out: Tensor, source: Tensor, back_table: Tensor) -> Tensor:
    """Give every output's gradient to the input row it came from."""
    channels = grad_out.shape[1]
    grad = torch.empty(len(back_table), channels, dtype=grad_out.dtype, device=grad_out.device)
    _launch(_grad_first, (grad_out, source, back_table, grad), back_table, channels)
    return grad


def grad_to_all_table(grad_out: Tensor, features: Tensor, out: Tensor, back_table: Tensor) -> Tensor:
    """Give every output's gradient to all input rows equal to it."""
    grad = torch.empty_like(features)
    _launch(_grad_all, (grad_out, features, out, back_table, grad), back_table, grad.shape[1])
    return grad


def _launch(kernel: Any, tensors: tuple[Tensor, ...], table: Tensor, channels: int) -> None:
    rows, volume = table.shape
    if rows * channels == 0:
        return
    block = min(64, 1 << (channels - 1).bit_length())
    grid = -(-rows // _ROWS), -(-channels // block)
    with torch.cuda.device_of(table):
        kernel[grid](*tensors, rows, channels, volume, ROWS=_ROWS, CHANNELS=block)
