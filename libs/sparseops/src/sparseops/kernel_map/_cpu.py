"""Kernel maps on the CPU: merges of sorted keys, one per line of the kernel, parallel over output tiles."""

import numpy as np
import torch
from torch import Tensor

from sparseops._backend import sync_threads
from sparseops._numba.sort import sort_keys
from sparseops.kernel_map import _kernels
from sparseops.kernel_map._reference import TILE_ROWS
from sparseops.kernel_map._window import Triple, Window


def strided_sites(coords_in: Tensor, shape_out: Triple, window: Window) -> Tensor:
    """Cells of the output grid that some offset connects to an input cell, ascending. [m, 4] int32."""
    coords = coords_in.numpy()
    if len(coords) == 0:
        return torch.empty((0, 4), dtype=torch.int32)
    tables = [
        _reading_cells(axis, int(coords[:, axis + 1].max()) + 1, shape_out, window) for axis in range(3)
    ]
    per_site = 1
    for table in tables:
        per_site *= int((table >= 0).sum(1).max())
    keys = np.empty(len(coords) * per_site, np.int64)
    keys = keys[: _kernels.candidate_keys(coords, tables[0], tables[1], tables[2], shape_out, keys)]
    keys, _ = sort_keys(keys)
    cells = torch.empty((len(keys), 4), dtype=torch.int32)
    return cells[: _kernels.distinct_cells(keys, shape_out, cells.numpy())].clone()


def pair_list(
    coords_out: Tensor, rows_out: Tensor, coords_in: Tensor, rows_in: Tensor, shape_in: Triple, window: Window
) -> tuple[Tensor, Tensor, Tensor]:
    """All (input row, output row) pairs, grouped by tile of output rows and then by offset."""
    tiles = -(-len(coords_out) // TILE_ROWS)
    # On a grid widened by the padding no offset leads outside, so neighbours differ by a constant key.
    shape = tuple(size + 2 * pad for size, pad in zip(shape_in, window.padding, strict=True))
    keys_in = _kernels.grid_keys(coords_in.numpy(), (1, 1, 1), shape)
    keys_in += (window.padding[0] * shape[1] + window.padding[1]) * shape[2] + window.padding[2]
    keys_in = np.append(keys_in, np.iinfo(np.int64).max)
    keys_out = _kernels.grid_keys(coords_out.numpy(), window.stride, shape)
    reach_z, reach_y = (np.arange(window.kernel[axis]) * window.dilation[axis] for axis in (0, 1))
    shifts = ((reach_z[:, None] * shape[1] + reach_y) * shape[2]).ravel()
    # Only the beginning of each tile's part is ever touched, so the large array costs little memory.
    pairs = np.empty((tiles, TILE_ROWS * window.volume, 2), np.int32)
    counts = np.empty((tiles, window.volume), np.int64)
    if tiles:
        sites = keys_out, rows_out.numpy(), keys_in, rows_in.numpy()
        counter = np.zeros(1, np.int64)
        _kernels.tile_pairs(
            sync_threads(),
            counter,
            TILE_ROWS,
            *sites,
            shifts,
            window.kernel[2],
            window.dilation[2],
            pairs,
            counts,
        )
    end = counts.ravel().cumsum()
    total = int(end[-1]) if tiles else 0
    pairs_in, pairs_out = torch.empty(total, dtype=torch.int32), torch.empty(total, dtype=torch.int32)
    begin = np.concatenate([np.zeros(1, np.int64), end[window.volume - 1 :: window.volume]])
    _kernels.join_pairs(pairs, begin, pairs_in.numpy(), pairs_out.numpy())
    return pairs_in, pairs_out, _segments(end, counts)


def transpose(
    pairs_in: Tensor, pairs_out: Tensor, segments: Tensor, tiles: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Swap input and output: the same pairs, grouped by `tiles` tiles of input rows and by offset."""
    back_in, back_out = torch.empty_like(pairs_out), torch.empty_like(pairs_in)
    end = np.zeros((tiles, segments.shape[1]), np.int64)
    lists = pairs_in.numpy(), pairs_out.numpy(), segments.numpy()
    _kernels.group_by_input(*lists, TILE_ROWS, end, back_in.numpy(), back_out.numpy())
    counts = np.diff(end.ravel(), prepend=0).reshape(end.shape)
    return back_in, back_out, _segments(end.ravel(), counts)


def _segments(end: np.ndarray, counts: np.ndarray) -> Tensor:
    both = np.stack([end - counts.ravel(), end], axis=-1).astype(np.int32)
    return torch.from_numpy(both.reshape(*counts.shape, 2))


def _reading_cells(axis: int, size_in: int, shape_out: Triple, window: Window) -> np.ndarray:
    """Output cell that reads input coordinate p at offset k on one axis, or -1. [size_in, kernel] int64."""
    reach = np.arange(window.kernel[axis]) * window.dilation[axis]
    numerator = np.arange(size_in)[:, None] + window.padding[axis] - reach
    cells = numerator // window.stride[axis]
    valid = (numerator == cells * window.stride[axis]) & (cells >= 0) & (cells < shape_out[axis])
    return np.where(valid, cells, -1)
