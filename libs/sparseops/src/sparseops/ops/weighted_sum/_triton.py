"""Weighted sum of rows on the GPU; backward, entries are sorted by row, so no addition meets another."""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

_BLOCK_ROWS = 32


@triton.jit
@no_type_check
def forward_kernel(  # noqa: PLR0913 - a kernel takes flat pointers
    features, idx, weights, out, n, rows, channels, k, BLOCK: tl.constexpr, BLOCK_C: tl.constexpr
):
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    c = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    total = tl.zeros([BLOCK, BLOCK_C], weights.dtype.element_ty)
    for j in range(k):
        row = tl.load(idx + i * k + j, mask=i < n, other=-1)
        present = (row >= 0) & (row < rows)
        weight = tl.load(weights + i * k + j, mask=present, other=0.0)
        mask = present[:, None] & (c < channels)[None, :]
        value = tl.load(features + row[:, None] * channels + c[None, :], mask=mask, other=0.0)
        total += weight[:, None] * value.to(total.dtype)
    mask = (i < n)[:, None] & (c < channels)[None, :]
    tl.store(out + i[:, None] * channels + c[None, :], total.to(out.dtype.element_ty), mask=mask)


@triton.jit
@no_type_check
def backward_features_kernel(  # noqa: PLR0913 - a kernel takes flat pointers
    grad, entries, first, weights, out, rows, channels, k, BLOCK: tl.constexpr, BLOCK_C: tl.constexpr
):
    row = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    c = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    start = tl.load(first + row, mask=row < rows, other=0)
    stop = tl.load(first + row + 1, mask=row < rows, other=0)
    total = tl.zeros([BLOCK, BLOCK_C], weights.dtype.element_ty)
    for step in range(tl.max(stop - start, axis=0)):
        more = (start + step < stop)[:, None]
        entry = tl.load(entries + (start + step)[:, None], mask=more, other=0)
        weight = tl.load(weights + entry, mask=more, other=0.0)
        mask = more & (c < channels)[None, :]
        value = tl.load(grad + (entry // k) * channels + c[None, :], mask=mask, other=0.0)
        total += weight * value.to(total.dtype)
    mask = (row < rows)[:, None] & (c < channels)[None, :]
    tl.store(out + row[:, None] * channels + c[None, :], total.to(out.dtype.element_ty), mask=mask)


@triton.jit
@no_type_check
def backward_weights_kernel(  # noqa: PLR0913 - a kernel takes flat pointers
    grad, features, idx, out, n, rows, channels, k, BLOCK: tl.constexpr, BLOCK_C: tl.constexpr
):
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    for j in range(k):
        row = tl.load(idx + i * k + j, mask=i < n, other=-1)
        present = (row >= 0) & (row < rows)
        total = tl.zeros([BLOCK], out.dtype.element_ty)
        for begin in range(0, channels, BLOCK_C):
            c = begin + tl.arange(0, BLOCK_C)
            mask = present[:, None] & (c < channels)[None, :]
            value = tl.load(features + row[:, None] * channels + c[None, :], mask=mask, other=0.0)
            upstream = tl.load(grad + i[:, None] * channels + c[None, :], mask=mask, other=0.0)
            total += tl.sum(value.to(total.dtype) * upstream.to(total.dtype), axis=1)
        tl.store(out + i * k + j, total, mask=i < n)


def weighted_sum(features: Tensor, idx: Tensor, weights: Tensor) -> Tensor:
    """Same results as the reference up to rounding. Does not wait for the device."""
    n, channels = len(idx), features.shape[1]
    out = features.new_empty(n, channels)
    if out.numel():
        block_c = _block_c(channels)
        forward_kernel[(triton.cdiv(n, _BLOCK_ROWS), triton.cdiv(channels, block_c))](
            features.contiguous(),
            idx.contiguous(),
            weights.contiguous(),
            out,
            n,
            len(features),
            channels,
            idx.shape[1],
            BLOCK=_BLOCK_ROWS,
            BLOCK_C=block_c,
        )
    return out


def weighted_sum_backward_features(grad: Tensor, idx: Tensor, weights: Tensor, rows: int) -> Tensor:
    """Same results as the reference up to rounding, the same in every run."""
    channels = grad.shape[1]
    out = grad.new_empty(rows, channels)
    if out.numel():
        present = torch.where((idx < 0) | (idx >= rows), rows, idx).flatten()
        by_row, entries = torch.sort(present, stable=True)
        first = torch.searchsorted(by_row, torch.arange(rows + 1, device=idx.device))
        block_c = _block_c(channels)
        backward_features_kernel[(triton.cdiv(rows, _BLOCK_ROWS), triton.cdiv(channels, block_c))](
            grad.contiguous(),
            entries,
            first,
            weights.contiguous(),
            out,
            rows,
            channels,
            idx.shape[1],
            BLOCK=_BLOCK_ROWS,
            BLOCK_C=block_c,
        )
    return out


def weighted_sum_backward_weights(grad: Tensor, features: Tensor, idx: Tensor) -> Tensor:
    """Same results as the reference up to rounding."""
    working = torch.float64 if features.dtype == torch.float64 else torch.float32
    out = grad.new_empty(idx.shape, dtype=working)
    if out.numel():
        backward_weights_kernel[(triton.cdiv(len(idx), _BLOCK_ROWS),)](
            grad.contiguous(),
            features.contiguous(),
            idx.contiguous(),
            out,
            len(idx),
            len(features),
            features.shape[1],
            idx.shape[1],
            BLOCK=_BLOCK_ROWS,
            BLOCK_C=_block_c(features.shape[1]),
        )
    return out


def _block_c(channels: int) -> int:
    return min(64, 1 << max(channels - 1, 0).bit_length())
