"""Row reductions on the GPU: rows sorted by index, then one program per group and block of channels.

A program walks the rows of its group in tiles and reduces the tile at the end. The order depends on nothing
but the number of rows, so the results are the same in every run, and nothing is added atomically.
"""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

_ROWS = 32


@triton.jit
@no_type_check
def _sum(rows, order, starts, out, channels, ROWS: tl.constexpr, CHANNELS: tl.constexpr):
    group = tl.program_id(0).to(tl.int64)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    present = channel < channels
    lane = tl.arange(0, ROWS)
    first, last = tl.load(starts + group), tl.load(starts + group + 1)
    total = tl.zeros((ROWS, CHANNELS), out.dtype.element_ty)
    for i in range(first, last, ROWS):
        inside = i + lane < last
        row = tl.load(order + i + lane, mask=inside, other=0)
        address = rows + row[:, None] * channels + channel[None, :]
        value = tl.load(address, mask=inside[:, None] & present[None, :], other=0)
        total += value.to(out.dtype.element_ty)
    tl.store(out + group * channels + channel, tl.sum(total, 0), mask=present)


@triton.jit
@no_type_check
def _argmax(rows, order, starts, out, n, channels, ROWS: tl.constexpr, CHANNELS: tl.constexpr):
    group = tl.program_id(0).to(tl.int64)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    present = channel < channels
    lane = tl.arange(0, ROWS)
    first, last = tl.load(starts + group), tl.load(starts + group + 1)
    best = tl.full((ROWS, CHANNELS), float("-inf"), rows.dtype.element_ty)
    source = tl.zeros((ROWS, CHANNELS), tl.int64) + n
    for i in range(first, last, ROWS):
        inside = i + lane < last
        row = tl.load(order + i + lane, mask=inside, other=0)[:, None]
        valid = inside[:, None] & present[None, :]
        value = tl.load(rows + row * channels + channel[None, :], mask=valid, other=0)
        # Rows ascend, so an equal value later on does not win; NaN wins over numbers.
        larger = (value > best) | (value != value)
        better = valid & ((source == n) | ((best == best) & larger))
        best = tl.where(better, value, best)
        source = tl.where(better, row, source)
    found = source < n
    is_nan = found & (best != best)
    any_nan = tl.max(is_nan.to(tl.int32), 0) > 0
    top = tl.max(tl.where(found & (best == best), best, float("-inf")), 0)
    winner = tl.where(any_nan[None, :], is_nan, found & (best == top[None, :]))
    tl.store(out + group * channels + channel, tl.min(tl.where(winner, source, n), 0), mask=present)


def _by_group(index: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the rows in the order of their index and where each group starts; one more start ends the last.

    Negative rows lie before the first group, rows of `count` or more behind the last.
    """
    groups, order = torch.sort(index, stable=True)
    return order, torch.searchsorted(groups, torch.arange(count + 1, device=index.device))


def _grid(count: int, channels: int) -> tuple[tuple[int, int], int]:
    """Return the programs and the channels of each, a power of two."""
    block = min(32, 1 << (channels - 1).bit_length())
    return (count, -(-channels // block)), block


def scatter_sum(rows: Tensor, index: Tensor, count: int) -> Tensor:
    """Same results as the reference up to rounding; half precision is added up in float32."""
    channels = rows.shape[1]
    exact = torch.float64 if rows.dtype == torch.float64 else torch.float32
    out = torch.empty(count, channels, dtype=exact, device=rows.device)
    if out.numel():
        order, starts = _by_group(index, count)
        grid, block = _grid(count, channels)
        with torch.cuda.device_of(rows):
            _sum[grid](rows.contiguous(), order, starts, out, channels, ROWS=_ROWS, CHANNELS=block)
    return out.to(rows.dtype)


def scatter_argmax(rows: Tensor, index: Tensor, count: int) -> Tensor:
    """Same results as the reference, bit for bit."""
    n, channels = rows.shape
    out = torch.empty(count, channels, dtype=torch.int64, device=rows.device)
    if out.numel():
        order, starts = _by_group(index, count)
        grid, block = _grid(count, channels)
        with torch.cuda.device_of(rows):
            _argmax[grid](rows.contiguous(), order, starts, out, n, channels, ROWS=_ROWS, CHANNELS=block)
    return out
