"""Grouping on the GPU: one program per block of gathered entries; the gradient is a sum of rows by index."""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

from sparseops.ops.scatter._triton import scatter_sum as scatter_sum_triton

_ENTRIES = 256
_CHANNELS = 16


@triton.jit
@no_type_check
def _gather(features, idx, out, channels, n, entries, ENTRIES: tl.constexpr, CHANNELS: tl.constexpr):
    entry = tl.program_id(0) * ENTRIES + tl.arange(0, ENTRIES)
    b = tl.program_id(2).to(tl.int64)
    row = tl.load(idx + b * entries + entry, mask=entry < entries, other=-1)
    valid = (row >= 0) & (row < n)
    first = tl.program_id(1) * CHANNELS
    for c in range(first, tl.minimum(first + CHANNELS, channels)):
        channel = b * channels + c
        value = tl.load(features + channel * n + row, mask=valid, other=0)
        tl.store(out + channel * entries + entry, value, mask=entry < entries)


def group(features: Tensor, idx: Tensor) -> Tensor:
    """Same results as the reference, bit for bit; rows outside of the features give zeros."""
    b, c, n = features.shape
    out = torch.empty(b, c, *idx.shape[1:], dtype=features.dtype, device=features.device)
    if out.numel():
        entries = idx.shape[1] * idx.shape[2]
        grid = (-(-entries // _ENTRIES), -(-c // _CHANNELS), b)
        blocks = {"ENTRIES": _ENTRIES, "CHANNELS": _CHANNELS}
        with torch.cuda.device_of(features):
            _gather[grid](features.contiguous(), idx.contiguous(), out, c, n, entries, **blocks)
    return out


def group_backward(grad: Tensor, idx: Tensor, rows: int) -> Tensor:
    """Same results as the reference up to rounding; half precision is added up in float32."""
    b, c = grad.shape[:2]
    inside = (idx >= 0) & (idx < rows)
    sample = torch.arange(b, device=idx.device)[:, None, None] * rows
    total = scatter_sum_triton(
        grad.flatten(2).transpose(1, 2).reshape(-1, c),
        torch.where(inside, sample + idx, -1).flatten(),
        b * rows,
    )
    return total.view(b, rows, c).transpose(1, 2).contiguous()
