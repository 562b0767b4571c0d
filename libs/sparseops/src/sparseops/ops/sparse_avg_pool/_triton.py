"""Sums along a kernel map on the GPU: a program per block of rows and channels walks the offsets in order."""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

_ROWS = 32


@triton.jit
@no_type_check
def _sum(features, table, out, rows, channels, volume, ROWS: tl.constexpr, CHANNELS: tl.constexpr):
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)[None, :]
    present = channel < channels
    total = tl.zeros((ROWS, CHANNELS), out.dtype.element_ty)
    for k in range(volume):
        neighbour = tl.load(table + row * volume + k, mask=row < rows, other=-1)[:, None]
        address = features + neighbour.to(tl.int64) * channels + channel
        total += tl.load(address, mask=(neighbour >= 0) & present, other=0)
    tl.store(out + row[:, None] * channels + channel, total, mask=(row < rows)[:, None] & present)


def pool_sum_table(features: Tensor, table: Tensor) -> Tensor:
    """Sum of the inputs of every output row, in the order of the offsets; float32 or float64."""
    (rows, volume), channels = table.shape, features.shape[1]
    out = torch.empty(rows, channels, dtype=features.dtype, device=features.device)
    if out.numel():
        block = min(64, 1 << (channels - 1).bit_length())
        grid = -(-rows // _ROWS), -(-channels // block)
        with torch.cuda.device_of(features):
            _sum[grid](features, table, out, rows, channels, volume, ROWS=_ROWS, CHANNELS=block)
    return out
