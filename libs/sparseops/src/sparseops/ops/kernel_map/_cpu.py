"""Kernel maps on the CPU: sorted sites are walked line by line, nothing is hashed."""

import numpy as np
import torch
from torch import Tensor

from sparseops._backend import sync_threads
from sparseops._numba.sort import sort_keys
from sparseops.ops.kernel_map import _kernels, _reference, _strided_kernels
from sparseops.ops.kernel_map._cpu_sites import floor_sites as floor_sites
from sparseops.ops.kernel_map._cpu_sites import transposed_sites as transposed_sites
from sparseops.ops.kernel_map._reference import TILE_ROWS
from sparseops.ops.kernel_map._window import Triple, Window

PARTS = 16
"""Shares of the work of a strided plan; the result does not depend on it."""
LONGEST_AXIS = 2**20
"""Cells of an axis up to which bit maps of a line are made."""
_SHORT_AXIS = 1024


def strided_sites(coords_in: Tensor, shape_out: Triple, window: Window) -> Tensor:
    """Cells that some offset connects to an input cell, ascending. [m, 4] int32."""
    # The result depends on the occupied part of the input grid alone.
    z, y, x = coords_in[:, 1:].amax(0).tolist() if len(coords_in) else (0, 0, 0)
    rows_in = torch.arange(len(coords_in))
    return strided_plan(coords_in, rows_in, (z + 1, y + 1, x + 1), shape_out, window)[0]


def strided_plan(
    coords_in: Tensor, rows_in: Tensor, shape_in: Triple, shape_out: Triple, window: Window
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Cells that some offset connects to an input cell, ascending, [m, 4]; and the pairs as in `pair_list`.

    The rows of the output are its cells in ascending order.
    """
    if max(shape_in) > LONGEST_AXIS:
        cells = _reference.strided_sites(coords_in, shape_out, window)
        return cells, *pair_list(cells, torch.arange(len(cells)), coords_in, rows_in, shape_in, window)
    geometry = np.array([window.kernel_size, window.stride, window.padding, window.dilation])
    coords, values = _numbered_values(coords_in.numpy(), shape_in)
    axis_z, axis_y, axis = (
        _strided_kernels.readers(values[at], shape_out[at], *(int(row[at]) for row in geometry))
        for at in range(3)
    )
    begins = _strided_kernels.line_begins(coords)
    keys, lines, kernel_lines = _strided_kernels.line_candidates(
        coords, begins, axis_z, axis_y, np.array(shape_out), geometry
    )
    keys, order = sort_keys(keys)
    starts, room = _strided_kernels.split_candidates(keys, order, lines, begins, axis[0].shape[1], PARTS)
    # The parts fill only the beginning of their room; what is not touched costs no memory.
    cells, found = np.empty((room[-1], 4), np.int32), np.empty((room[-1], 3), np.int32)
    lists = keys, order, lines, kernel_lines, coords, rows_in.numpy(), begins, *axis, np.array(shape_out)
    sizes, counter = np.empty((PARTS, 2), np.int64), np.zeros(1, np.int64)
    _strided_kernels.strided_cells(sync_threads(), counter, *lists, starts, room, cells, found, sizes)
    sites, total = sizes.sum(0).tolist()
    joined = torch.empty(sites, 4, dtype=torch.int32)
    _strided_kernels.join_cells(room, sizes, cells, joined.numpy())
    end = np.zeros((-(-sites // TILE_ROWS), window.volume), np.int64)
    pairs_in, pairs_out = torch.empty(total, dtype=torch.int32), torch.empty(total, dtype=torch.int32)
    _strided_kernels.group_pairs(room, sizes, found, end, pairs_in.numpy(), pairs_out.numpy())
    segments = _segments(end.ravel(), np.diff(end.ravel(), prepend=0).reshape(end.shape))
    return joined, pairs_in, pairs_out, segments


def _numbered_values(coords: np.ndarray, shape: Triple) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return coordinates [n, 4] as numbers of values of their axis, and those values, ascending, per axis.

    On an axis with more cells than there are sites the values are those that occur: nothing takes time or
    memory in proportion to a grid that is nearly empty. Else they are all cells, and nothing is copied.
    """
    values = [np.arange(size) for size in shape if size <= _SHORT_AXIS + len(coords)]
    if len(values) == len(shape):
        return coords, values
    columns = [coords[:, 0]]
    values = []
    for column, size in zip(coords.T[1:], shape, strict=True):
        long = size > _SHORT_AXIS + len(coords)
        occurring, numbers = np.unique(column, return_inverse=True) if long else (np.arange(size), column)
        columns.append(numbers)
        values.append(occurring.astype(np.int64))
    return np.stack(columns, axis=1).astype(np.int32), values


def pair_list(
    coords_out: Tensor, rows_out: Tensor, coords_in: Tensor, rows_in: Tensor, shape_in: Triple, window: Window
) -> tuple[Tensor, Tensor, Tensor]:
    """All (input row, output row) pairs, grouped by tile of output rows and then by offset."""
    # On a grid widened by the padding no offset leads outside, so neighbours differ by a constant key.
    shape = tuple(size + 2 * pad for size, pad in zip(shape_in, window.padding, strict=True))
    keys_in = _kernels.grid_keys(coords_in.numpy(), (1, 1, 1), shape)
    keys_in += (window.padding[0] * shape[1] + window.padding[1]) * shape[2] + window.padding[2]
    keys_in = np.append(keys_in, np.iinfo(np.int64).max)
    keys_out = _kernels.grid_keys(coords_out.numpy(), window.stride, shape)
    reach_z, reach_y = (np.arange(window.kernel_size[axis]) * window.dilation[axis] for axis in (0, 1))
    shifts = ((reach_z[:, None] * shape[1] + reach_y) * shape[2]).ravel()
    if (
        window.centred
        and window.volume % 2
        and coords_out.data_ptr() == coords_in.data_ptr()
        and len(coords_in)
    ):
        return _mirrored_pairs(keys_out, keys_in, rows_in.numpy(), shifts, window)
    pairs, counts = _pairs_of_tiles(keys_out, rows_out.numpy(), keys_in, rows_in.numpy(), shifts, window)
    end = counts.ravel().cumsum()
    total = int(end[-1]) if len(end) else 0
    pairs_in, pairs_out = torch.empty(total, dtype=torch.int32), torch.empty(total, dtype=torch.int32)
    begin = np.concatenate([np.zeros(1, np.int64), end[window.volume - 1 :: window.volume]])
    _kernels.join_pairs(pairs, begin, pairs_in.numpy(), pairs_out.numpy())
    return pairs_in, pairs_out, _segments(end, counts)


def _mirrored_pairs(
    keys_out: np.ndarray, keys_in: np.ndarray, rows: np.ndarray, shifts: np.ndarray, window: Window
) -> tuple[Tensor, Tensor, Tensor]:
    """Pairs of a centred window on one set of sites: the second half of the offsets mirrors the first."""
    positions = np.arange(len(rows))
    half = shifts[: len(shifts) // 2 + 1]
    pairs, counts = _pairs_of_tiles(keys_out, positions, keys_in, positions, half, window)
    total = np.empty((len(pairs), window.volume), np.int64)
    _kernels.mirrored_counts(pairs, counts, len(rows), total)
    end = total.ravel().cumsum()
    pairs_in, pairs_out = (torch.empty(int(end[-1]), dtype=torch.int32) for _ in range(2))
    cursor, counter = (end - total.ravel()).reshape(total.shape), np.zeros(1, np.int64)
    lists = pairs_in.numpy(), pairs_out.numpy()
    _kernels.mirror_pairs(sync_threads(), counter, pairs, counts, rows, cursor, *lists)
    return pairs_in, pairs_out, _segments(end, total)


def _pairs_of_tiles(
    keys_out: np.ndarray,
    rows_out: np.ndarray,
    keys_in: np.ndarray,
    rows_in: np.ndarray,
    shifts: np.ndarray,
    window: Window,
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of every tile from its beginning on, [t, ., 2], and how many of every offset, [t, .]."""
    tiles, offsets = -(-len(keys_out) // TILE_ROWS), len(shifts) * window.kernel_size[2]
    # Only the beginning of each tile's part is ever touched, so the large array costs little memory.
    pairs = np.empty((tiles, TILE_ROWS * offsets, 2), np.int32)
    counts = np.empty((tiles, offsets), np.int64)
    if tiles:
        sites, counter = (keys_out, rows_out, keys_in, rows_in), np.zeros(1, np.int64)
        line = window.kernel_size[2], window.dilation[2]
        _kernels.tile_pairs(sync_threads(), counter, TILE_ROWS, *sites, shifts, *line, pairs, counts)
    return pairs, counts


def transpose(
    pairs_in: Tensor, pairs_out: Tensor, segments: Tensor, tiles: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Swap input and output: the same pairs, grouped by `tiles` tiles of input rows and by offset."""
    back_in, back_out = torch.empty_like(pairs_out), torch.empty_like(pairs_in)
    end = np.zeros((tiles, segments.shape[1]), np.int64)
    lists = pairs_in.numpy(), pairs_out.numpy(), segments.numpy()
    _kernels.group_by_input(*lists, end, back_in.numpy(), back_out.numpy())
    counts = np.diff(end.ravel(), prepend=0).reshape(end.shape)
    return back_in, back_out, _segments(end.ravel(), counts)


def _segments(end: np.ndarray, counts: np.ndarray) -> Tensor:
    if len(end) and end[-1] > np.iinfo(np.int32).max:
        raise ValueError(
            f"kernel map: at most 2**31 - 1 pairs can be numbered, got {end[-1]}; "
            "split the batch or take a smaller kernel"
        )
    both = np.stack([end - counts.ravel(), end], axis=-1).astype(np.int32)
    return torch.from_numpy(both.reshape(*counts.shape, 2))
