"""Row reductions: a thread owns a block of channels and walks the rows in order."""

import math
from typing import no_type_check

import torch
from torch import Tensor

from sparseops._backend import sync_threads
from sparseops._numba import njit, prange

_CACHE_LINE = 16


@njit(cache=True, parallel=True)
@no_type_check
def _sum(rows, index, out, block):
    n, channels = rows.shape
    for part in prange((channels + block - 1) // block):
        first, last = part * block, min(part * block + block, channels)
        out[:, first:last] = 0
        for i in range(n):
            target = index[i]
            if target >= 0:
                for c in range(first, last):
                    out[target, c] += rows[i, c]


@njit(cache=True, parallel=True)
@no_type_check
def _argmax(rows, index, out, block):
    n, channels = rows.shape
    for part in prange((channels + block - 1) // block):
        first, last = part * block, min(part * block + block, channels)
        out[:, first:last] = n
        for i in range(n):
            target = index[i]
            if target >= 0:
                for c in range(first, last):
                    best = out[target, c]
                    # The first row, a larger one, or the first NaN, for which no comparison holds.
                    if best == n or (rows[best, c] == rows[best, c] and not rows[i, c] <= rows[best, c]):
                        out[target, c] = i


def _channels_per_thread(channels: int, threads: int) -> int:
    """Share the channels out in whole cache lines; the results do not depend on it."""
    return max(1, math.ceil(channels / (threads * _CACHE_LINE))) * _CACHE_LINE


def scatter_sum(rows: Tensor, index: Tensor, count: int) -> Tensor:
    """Same results as the reference, bit for bit."""
    out = torch.empty(count, rows.shape[1], dtype=rows.dtype)
    block = _channels_per_thread(rows.shape[1], sync_threads())
    _sum(rows.contiguous().numpy(), index.contiguous().numpy(), out.numpy(), block)
    return out


def scatter_argmax(rows: Tensor, index: Tensor, count: int) -> Tensor:
    """Same results as the reference, bit for bit."""
    out = torch.empty(count, rows.shape[1], dtype=torch.int64)
    block = _channels_per_thread(rows.shape[1], sync_threads())
    _argmax(rows.contiguous().numpy(), index.contiguous().numpy(), out.numpy(), block)
    return out
