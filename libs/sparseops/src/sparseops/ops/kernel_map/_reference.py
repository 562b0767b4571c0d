"""Kernel maps in plain PyTorch, on any device: a sorted list of keys and one binary search per offset."""

import torch
from torch import Tensor

from sparseops.ops.kernel_map._window import Triple, Window
from sparseops.sites import coords_from_keys, site_keys

TILE_ROWS = 256
"""Output rows of a tile. Fixed, so that the order of summation never depends on the machine."""


def offsets(window: Window, device: torch.device) -> Tensor:
    """All offsets k as z y x rows, z slowest. [v, 3]."""
    axes = [torch.arange(size, device=device) for size in window.kernel_size]
    return torch.cartesian_prod(*axes).reshape(-1, 3)


def strided_sites(coords_in: Tensor, shape_out: Triple, window: Window) -> Tensor:
    """Cells of the output grid that some offset connects to an input cell, ascending. [m, 4] int32."""
    device = coords_in.device
    numerator = coords_in[:, None, 1:] + _triple(window.padding, device)
    numerator = numerator - offsets(window, device) * _triple(window.dilation, device)
    stride = _triple(window.stride, device)
    cells = numerator.div(stride, rounding_mode="floor")
    return _distinct(coords_in, cells, (numerator == cells * stride).all(-1), shape_out)


def transposed_sites(coords_in: Tensor, shape_out: Triple, window: Window) -> Tensor:
    """Cells `p * stride - padding + k * dilation` of the output grid, ascending. [m, 4] int32."""
    device = coords_in.device
    corner = coords_in[:, None, 1:] * _triple(window.stride, device) - _triple(window.padding, device)
    cells = corner + offsets(window, device) * _triple(window.dilation, device)
    return _distinct(coords_in, cells, torch.ones_like(cells[..., 0], dtype=torch.bool), shape_out)


def floor_sites(coords_in: Tensor, shape_out: Triple, stride: Triple) -> Tensor:
    """Distinct cells `floor(p / stride)`, ascending. [m, 4] int32."""
    cells = coords_in[:, 1:].div(_triple(stride, coords_in.device), rounding_mode="floor")
    keys = site_keys(torch.cat([coords_in[:, :1], cells], 1), shape_out)
    return coords_from_keys(torch.unique(keys), shape_out)


def neighbour_table(
    coords_out: Tensor, rows_out: Tensor, coords_in: Tensor, rows_in: Tensor, shape_in: Triple, window: Window
) -> Tensor:
    """Input row that every output row reads at every offset, -1 where there is none. [m, v] int32.

    Coordinates are ascending [., 4]; `rows_*` are the feature rows of them.
    """
    device = coords_out.device
    cells = coords_out[:, None, 1:] * _triple(window.stride, device) - _triple(window.padding, device)
    cells = cells + offsets(window, device) * _triple(window.dilation, device)
    table = rows_in.new_full((len(coords_out), window.volume), -1)
    if len(coords_in):
        keys_in = site_keys(coords_in, shape_in)
        batch = coords_out[:, None, :1].expand(*cells.shape[:2], 1)
        wanted = site_keys(torch.cat([batch, cells], -1), shape_in)
        position = torch.searchsorted(keys_in, wanted).clamp_(max=len(keys_in) - 1)
        found = _inside(cells, shape_in) & (keys_in[position] == wanted)
        table[rows_out] = torch.where(found, rows_in[position], -1)
    return table.int()


def pair_list(
    coords_out: Tensor, rows_out: Tensor, coords_in: Tensor, rows_in: Tensor, shape_in: Triple, window: Window
) -> tuple[Tensor, Tensor, Tensor]:
    """All (input row, output row) pairs, grouped by tile of output rows and then by offset.

    Arguments as in `neighbour_table`. Returns pairs_in [p], pairs_out [p] and segments [t, v, 2]: begin and
    end of the pairs of each tile and offset.
    """
    table = neighbour_table(coords_out, rows_out, coords_in, rows_in, shape_in, window)
    return pairs_from_table(table, rows_out)


def strided_plan(
    coords_in: Tensor, rows_in: Tensor, shape_in: Triple, shape_out: Triple, window: Window
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Cells of `strided_sites` [m, 4], the rows of the output, and their pairs as in `pair_list`."""
    cells = strided_sites(coords_in, shape_out, window)
    rows = torch.arange(len(cells), device=cells.device)
    return cells, *pair_list(cells, rows, coords_in, rows_in, shape_in, window)


def pairs_from_table(table: Tensor, rows_out: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Pairs_in, pairs_out and segments of a table; the order `rows_out` of output rows makes the tiles."""
    volume = table.shape[1]
    tiles = -(-len(table) // TILE_ROWS)
    padding = (0, 0, 0, tiles * TILE_ROWS - len(table))
    grouped = torch.nn.functional.pad(table[rows_out], padding, value=-1)
    grouped = grouped.reshape(tiles, TILE_ROWS, volume).transpose(1, 2)
    tile, offset, row = (grouped >= 0).nonzero(as_tuple=True)
    pairs_out = rows_out[tile * TILE_ROWS + row].int()
    return grouped[tile, offset, row], pairs_out, segments_from_counts((grouped >= 0).sum(-1))


def table_from_pairs(pairs_in: Tensor, pairs_out: Tensor, segments: Tensor, *, rows_out: int) -> Tensor:
    """The neighbour table of a list of pairs. [rows_out, v] int32."""
    table = pairs_in.new_full((rows_out, segments.shape[1]), -1)
    table[pairs_out.long(), offset_of_pairs(segments)] = pairs_in
    return table


def transposed_table(table: Tensor, *, rows_in: int) -> Tensor:
    """Output row that reads every input row at every offset, -1 where none does. [rows_in, v] int32."""
    rows_out, volume = table.shape
    # Absent neighbours write to a row of their own, so that no size depends on the data.
    back = table.new_full((rows_in + 1, volume), -1)
    target = torch.where(table < 0, rows_in, table).long()
    back[target, torch.arange(volume, device=table.device)] = torch.arange(
        rows_out, dtype=table.dtype, device=table.device
    )[:, None].expand(-1, volume)
    return back[:rows_in]


def transpose(
    pairs_in: Tensor, pairs_out: Tensor, segments: Tensor, tiles: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Swap input and output: the same pairs, grouped by `tiles` tiles of input rows and by offset."""
    volume = segments.shape[1]
    group = (pairs_in.long() // TILE_ROWS) * volume + offset_of_pairs(segments)
    order = torch.sort(group, stable=True)[1]
    counts = torch.bincount(group, minlength=tiles * volume).reshape(tiles, volume)
    return pairs_out[order], pairs_in[order], segments_from_counts(counts)


def segments_from_counts(counts: Tensor) -> Tensor:
    """Begin and end of consecutive groups. [t, v] -> int32 [t, v, 2]."""
    end = counts.flatten().cumsum(0)
    return torch.stack([end - counts.flatten(), end], dim=-1).reshape(*counts.shape, 2).int()


def offset_of_pairs(segments: Tensor) -> Tensor:
    """Offset number of every pair. [t, v, 2] -> int64 [p]."""
    tiles, volume, _ = segments.shape
    begin, end = segments.reshape(-1, 2).long().unbind(1)
    # An empty group shares its begin with the next one; it must not come after it, hence the second key.
    order = torch.sort(begin * 2 + (end > begin), stable=True)[1]
    offset = torch.arange(volume, device=segments.device).repeat(tiles)
    return offset[order].repeat_interleave((end - begin)[order])


def _distinct(coords_in: Tensor, cells: Tensor, valid: Tensor, shape_out: Triple) -> Tensor:
    valid = valid & _inside(cells, shape_out)
    batch = coords_in[:, None, :1].expand(*cells.shape[:2], 1)
    chosen = torch.cat([batch, cells], -1)[valid]
    return coords_from_keys(torch.unique(site_keys(chosen, shape_out)), shape_out)


def _inside(cells: Tensor, shape: Triple) -> Tensor:
    return ((cells >= 0) & (cells < _triple(shape, cells.device))).all(-1)


def _triple(values: Triple, device: torch.device) -> Tensor:
    # Filled on the device: a copy of host memory would wait for it.
    return torch.cat([torch.full((1,), value, device=device, dtype=torch.int64) for value in values])
