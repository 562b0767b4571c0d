"""Kernel maps on a GPU: neighbours by bisection of sorted keys, and the schedule of the convolution."""
# ruff: noqa: PLR0913 (operators and kernels take flat lists of arrays)

from typing import no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

from sparseops._triton.blocks import ceil_div, launch
from sparseops.ops.kernel_map._window import Triple, Window
from sparseops.sites import site_keys

BLOCK = 128
WALK = 4
"""Largest dilation in x at which walking to the next cell of a line is cheaper than a search of its own."""
CHUNK = 32
"""Offsets looked at together."""


@triton.jit(
    do_not_specialize=[
        "rows", "sites", "steps", "size_z", "size_y", "size_x", "stride_z", "stride_y", "stride_x", "pad_z",
        "pad_y", "pad_x", "step_z", "step_y", "step_x", "lines_y", "groups_x", "run", "walk",
    ]
)  # fmt: skip
@no_type_check
def table_kernel(
    coords_out, rows_out, keys_in, rows_in, table,
    rows, sites, steps,
    size_z, size_y, size_x, stride_z, stride_y, stride_x, pad_z, pad_y, pad_x, step_z, step_y, step_x,
    lines_y, groups_x, run, walk,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Find, for a block of output rows, the neighbours at `run` consecutive offsets of a line."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    valid = at < rows
    line = tl.program_id(1)
    volume = tl.num_programs(1) * run
    kz = line // (groups_x * lines_y)
    ky = line // groups_x % lines_y
    kx = line % groups_x * run
    batch = tl.load(coords_out + at * 4, mask=valid, other=0).to(tl.int64)
    z = tl.load(coords_out + at * 4 + 1, mask=valid, other=0).to(tl.int64) * stride_z - pad_z + kz * step_z
    y = tl.load(coords_out + at * 4 + 2, mask=valid, other=0).to(tl.int64) * stride_y - pad_y + ky * step_y
    x = tl.load(coords_out + at * 4 + 3, mask=valid, other=0).to(tl.int64) * stride_x - pad_x + kx * step_x
    valid_line = valid & (z >= 0) & (z < size_z) & (y >= 0) & (y < size_y)
    # Beyond the ends of a line in x, keys belong to other lines: they guide the walk, and count as absent.
    wanted = ((batch * size_z + z) * size_y + y) * size_x + x
    low = tl.zeros((BLOCK,), dtype=tl.int64)
    high = low + sites
    for _ in range(steps):
        middle = low + (high - low) // 2
        searching = low < high
        key = tl.load(keys_in + middle, mask=searching & valid_line, other=0)
        below = searching & (key < wanted)
        low = tl.where(below, middle + 1, low)
        high = tl.where(below, high, middle)
    row = tl.load(rows_out + at, mask=valid, other=0)
    for i in range(run):
        here = valid_line & (low < sites)
        key = tl.load(keys_in + low, mask=here, other=0)
        found = here & (key == wanted) & (x >= 0) & (x < size_x)
        source = tl.load(rows_in + low, mask=found, other=-1)
        tl.store(table + row * volume + line * run + i, source.to(tl.int32), mask=valid)
        x += step_x
        wanted += step_x
        for _ in range(walk):
            here = valid_line & (low < sites)
            key = tl.load(keys_in + low, mask=here, other=0)
            low = tl.where(here & (key < wanted), low + 1, low)


def neighbour_table(
    coords_out: Tensor, rows_out: Tensor, coords_in: Tensor, rows_in: Tensor, shape_in: Triple, window: Window
) -> Tensor:
    """Input row that every output row reads at every offset, -1 where there is none. [m, v] int32."""
    rows, sites = len(coords_out), len(coords_in)
    table = torch.empty(rows, window.volume, dtype=torch.int32, device=coords_out.device)
    if rows == 0:
        return table
    keys_in = site_keys(coords_in, shape_in)
    walks = window.dilation[2] <= WALK
    run, walk = (window.kernel_size[2], window.dilation[2]) if walks else (1, 0)
    launch(
        table_kernel, (ceil_div(rows, BLOCK), window.volume // run),
        coords_out.contiguous(), rows_out, keys_in, rows_in, table,
        rows, sites, sites.bit_length(),
        *shape_in, *window.stride, *window.padding, *window.dilation,
        window.kernel_size[1], window.kernel_size[2] // run, run, walk,
        BLOCK=BLOCK,
    )  # fmt: skip
    return table


@triton.jit
@no_type_check
def key_kernel(table, rank, keys, rows, volume, BLOCK: tl.constexpr, CHUNK: tl.constexpr):
    """Number the sets of offsets of rows so that near numbers are sets that differ in few common offsets."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    key = tl.zeros((BLOCK,), dtype=tl.int64)
    for first in range(0, volume, CHUNK):
        k = first + tl.arange(0, CHUNK)
        inside = (at < rows)[:, None] & (k < volume)[None, :]
        source = tl.load(table + at[:, None] * volume + k[None, :], mask=inside, other=-1)
        bit = tl.load(rank + k, mask=k < volume, other=-1)
        chosen = (source >= 0) & (bit >= 0)[None, :]
        shift = tl.where(bit >= 0, bit, 0)
        key += tl.sum(chosen.to(tl.int64) << shift[None, :], axis=1)
    # Place in the Gray code: sets that follow each other differ in one bit where all sets occur.
    key ^= key >> 1
    key ^= key >> 2
    key ^= key >> 4
    key ^= key >> 8
    key ^= key >> 16
    key ^= key >> 32
    tl.store(keys + at, key, mask=at < rows)


@triton.jit
@no_type_check
def tile_kernel(
    table, order, lists, rows, volume, TILE: tl.constexpr, ORDERED: tl.constexpr, CHUNK: tl.constexpr
):
    """List the offsets that a tile of rows has, ascending, behind their number."""
    tile = tl.program_id(0).to(tl.int64)
    place = tile * TILE + tl.arange(0, TILE)
    valid = place < rows
    row = place
    if ORDERED:
        row = tl.load(order + place, mask=valid, other=0)
    target = lists + tile * (volume + 1)
    count = tl.zeros((), dtype=tl.int32)
    for first in range(0, volume, CHUNK):
        k = first + tl.arange(0, CHUNK)
        inside = valid[:, None] & (k < volume)[None, :]
        source = tl.load(table + row[:, None] * volume + k[None, :], mask=inside, other=-1)
        active = tl.max((source >= 0).to(tl.int32), axis=0)
        tl.store(target + count + tl.cumsum(active, axis=0), k, mask=active > 0)
        count += tl.sum(active, axis=0)
    tl.store(target, count)


def keys_of_rows(table: Tensor, rank: Tensor) -> Tensor:
    """Sort key of every row; `rank` is the bit that stands for an offset, or -1. [n] int64."""
    rows, volume = table.shape
    keys = torch.empty(rows, dtype=torch.int64, device=table.device)
    if rows:
        grid = (ceil_div(rows, BLOCK),)
        launch(key_kernel, grid, table, rank, keys, rows, volume, BLOCK=BLOCK, CHUNK=CHUNK)
    return keys


def offsets_of_tiles(table: Tensor, order: Tensor | None, tile_rows: int) -> Tensor:
    """For every tile of rows, in `order` or as they are: number of its offsets, then these. [t, 1 + v]."""
    rows, volume = table.shape
    tiles = ceil_div(rows, tile_rows)
    # The rest of a list is never read; it is cleared so that equal maps have equal schedules.
    lists = torch.zeros(tiles, volume + 1, dtype=torch.int32, device=table.device)
    if rows:
        constants = {"TILE": tile_rows, "ORDERED": order is not None, "CHUNK": CHUNK}
        launch(tile_kernel, (tiles,), table, order, lists, rows, volume, **constants)
    return lists
