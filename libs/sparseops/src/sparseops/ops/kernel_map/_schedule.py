"""What the GPU convolution derives from a neighbour table, once per kernel map and without waiting for it."""

import torch
from torch import Tensor

KEY_BITS = 62
TILE_SIZES = (128, 64)
"""Output rows that a program of the convolution may sum; lists of offsets exist for these."""


def tile_schedule(table: Tensor) -> list[Tensor]:
    """Group output rows that read the same offsets.

    Returns the order of rows, int64; then the offsets of its tiles of 128 and of 64 rows, and those of tiles
    of rows as they are: int32 [t, 1 + v], a number and that many offsets, ascending.
    """
    from sparseops.ops.kernel_map import _triton

    # Common offsets on the low bits: a tile then shares the rare ones. On a street seen by 64 beams, tiles of
    # 128 rows compute 1.9 times the pairs at stride 1, 1.4 times at stride 4; in plain order 4.9 and 1.9.
    volume = table.shape[1]
    common_first = torch.sort((table >= 0).sum(0), descending=True, stable=True)[1]
    bits = torch.arange(volume, device=table.device) - max(0, volume - KEY_BITS)
    rank = torch.empty_like(bits).scatter_(0, common_first, bits)
    order = torch.sort(_triton.keys_of_rows(table, rank), stable=True)[1]
    ordered = [_triton.offsets_of_tiles(table, order, size) for size in TILE_SIZES]
    return [order, *ordered, *(_triton.offsets_of_tiles(table, None, size) for size in TILE_SIZES)]


def pairs_by_offset(table: Tensor) -> list[Tensor]:
    """Compact the pairs of every offset to the front of a line: inputs and outputs [v, n], counts [v].

    Int32; outputs ascend. What lies behind the count of an offset is not meant to be read.
    """
    rows, volume = table.shape
    sources = table.T.contiguous()
    present = sources >= 0
    place = present.cumsum(1)
    # Absent pairs go to a column of their own, so that no size depends on the data.
    target = torch.where(present, place - 1, rows)
    outputs = torch.arange(rows, dtype=torch.int32, device=table.device).expand(volume, rows)
    inputs_line = sources.new_zeros(volume, rows + 1).scatter_(1, target, sources)
    outputs_line = sources.new_zeros(volume, rows + 1).scatter_(1, target, outputs)
    return [inputs_line[:, :rows].contiguous(), outputs_line[:, :rows].contiguous(), present.sum(1).int()]
