"""Kernel maps in plain PyTorch, on any device: a sorted list of keys and one binary search per offset."""

import torch
from torch import Tensor

from sparseops.kernel_map._window import Triple, Window
from sparseops.sites import site_keys

TILE_ROWS = 256
"""Output rows of a tile. Fixed, so that the order of summation never depends on the machine."""


def offsets(window: Window, device: torch.device) -> Tensor:
    """All offsets k as z y x rows, z slowest. [v, 3]."""
    axes = [torch.arange(size, device=device) for size in window.kernel]
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


def pair_list(
    coords_out: Tensor, rows_out: Tensor, coords_in: Tensor, rows_in: Tensor, shape_in: Triple, window: Window
) -> tuple[Tensor, Tensor, Tensor]:
    """All (input row, output row) pairs, grouped by tile of output rows and then by offset.

    Coordinates are ascending [., 4]; `rows_*` are the feature rows of them. Returns pairs_in [p], pairs_out
    [p] and segments [t, v, 2]: begin and end of the pairs of each tile and offset.
    """
    device = coords_out.device
    cells = coords_out[:, None, 1:] * _triple(window.stride, device) - _triple(window.padding, device)
    cells = cells + offsets(window, device) * _triple(window.dilation, device)
    inside = _inside(cells, shape_in)
    keys_in = site_keys(coords_in, shape_in)
    wanted = site_keys(torch.cat([coords_out[:, None, :1].expand(*cells.shape[:2], 1), cells], -1), shape_in)
    position = torch.searchsorted(keys_in, wanted).clamp_(max=max(len(keys_in) - 1, 0))
    found = inside & (keys_in[position] == wanted) if len(keys_in) else torch.zeros_like(inside)

    tiles = -(-len(coords_out) // TILE_ROWS)
    padding = (0, 0, 0, tiles * TILE_ROWS - len(coords_out))
    grouped = torch.nn.functional.pad(found, padding)
    grouped = grouped.reshape(tiles, TILE_ROWS, window.volume).transpose(1, 2)
    tile, offset, row = grouped.nonzero(as_tuple=True)
    out_position = tile * TILE_ROWS + row
    segments = segments_from_counts(grouped.sum(-1))
    return rows_in[position[out_position, offset]].int(), rows_out[out_position].int(), segments


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
    rest = torch.unique(site_keys(chosen, shape_out))
    columns = []
    for size in reversed(shape_out):
        columns.append(rest % size)
        rest = rest.div(size, rounding_mode="floor")
    return torch.stack([rest, *reversed(columns)], dim=1).int()


def _inside(cells: Tensor, shape: Triple) -> Tensor:
    return ((cells >= 0) & (cells < _triple(shape, cells.device))).all(-1)


def _triple(values: Triple, device: torch.device) -> Tensor:
    return torch.tensor(values, device=device, dtype=torch.int64)
