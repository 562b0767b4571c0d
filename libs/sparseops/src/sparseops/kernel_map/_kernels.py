"""Compiled loops of the kernel maps. Threads draw tiles of output rows; a tile owns its results."""
# ruff: noqa: PLR0913 (operators and kernels take flat lists of arrays)

from typing import no_type_check

import numpy as np
from numba import njit, prange

from sparseops._numba.intrinsics import fetch_add


@njit(nogil=True, cache=True)
@no_type_check
def grid_keys(coords, scale, shape):
    """Number the cells `coords * scale` of a grid of `shape`; coords [n, 4], scale and shape z y x."""
    keys = np.empty(len(coords), np.int64)
    for i in range(len(coords)):
        key = np.int64(coords[i, 0])
        for axis in range(3):
            key = key * shape[axis] + coords[i, axis + 1] * scale[axis]
        keys[i] = key
    return keys


@njit(nogil=True, cache=True)
@no_type_check
def candidate_keys(coords, cells_z, cells_y, cells_x, shape_out, keys):
    """Write the keys of all output cells of every input cell; return how many.

    `cells_*[p, k]` is the output cell that reads input coordinate p at offset k, or -1.
    """
    count = 0
    for i in range(len(coords)):
        batch, z, y, x = np.int64(coords[i, 0]), coords[i, 1], coords[i, 2], coords[i, 3]
        for kz in range(cells_z.shape[1]):
            if cells_z[z, kz] < 0:
                continue
            plane = batch * shape_out[0] + cells_z[z, kz]
            for ky in range(cells_y.shape[1]):
                if cells_y[y, ky] < 0:
                    continue
                line = (plane * shape_out[1] + cells_y[y, ky]) * shape_out[2]
                for kx in range(cells_x.shape[1]):
                    if cells_x[x, kx] >= 0:
                        keys[count] = line + cells_x[x, kx]
                        count += 1
    return count


@njit(nogil=True, cache=True)
@no_type_check
def distinct_cells(keys, shape, coords):
    """Decode the distinct ones of ascending keys into `coords` [n, 4]; return how many."""
    count = 0
    for i in range(len(keys)):
        if i > 0 and keys[i] == keys[i - 1]:
            continue
        rest = keys[i]
        for axis in range(2, -1, -1):
            above = rest // shape[axis]
            coords[count, axis + 1] = rest - above * shape[axis]
            rest = above
        coords[count, 0] = rest
        count += 1
    return count


@njit(nogil=True)
@no_type_check
def _lower_bound(keys, value):
    low, high = 0, len(keys)
    while low < high:
        middle = (low + high) >> 1
        if keys[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


@njit(nogil=True)
@no_type_check
def _tile_pairs(
    first, last, keys_out, rows_out, keys_in, rows_in, shifts, width, step, line_in, line_out, pairs, counts
):
    """List the pairs of the output positions [first, last), ordered by offset.

    For one line of the kernel (fixed z and y offset) the wanted keys ascend with the output, so one walk
    along the inputs finds them all. The last of `keys_in` is larger than any wanted key and stops the walk.
    """
    total, reach = 0, (width - 1) * step
    for line in range(len(shifts)):
        found = counts[line * width : (line + 1) * width]
        found[:] = 0
        at = _lower_bound(keys_in, keys_out[first] + shifts[line])
        for position in range(first, last):
            wanted = keys_out[position] + shifts[line]
            while keys_in[at] < wanted:
                at += 1
            near = at
            while keys_in[near] <= wanted + reach:
                k = keys_in[near] - wanted
                if step == 1 or k % step == 0:
                    k //= step
                    line_in[k, found[k]] = rows_in[near]
                    line_out[k, found[k]] = rows_out[position]
                    found[k] += 1
                near += 1
        for k in range(width):
            for i in range(found[k]):
                pairs[total, 0], pairs[total, 1] = line_in[k, i], line_out[k, i]
                total += 1


@njit(parallel=True, nogil=True, cache=True)
@no_type_check
def tile_pairs(
    threads, counter, tile_rows, keys_out, rows_out, keys_in, rows_in, shifts, width, step, pairs, counts
):
    """List the pairs of tile t from the beginning of `pairs[t]` [., 2], and how many in `counts` [t, v]."""
    for _ in prange(threads):
        line_in = np.empty((width, tile_rows), np.int32)
        line_out = np.empty((width, tile_rows), np.int32)
        tile = fetch_add(counter.ctypes.data)
        while tile < len(pairs):
            first, last = tile * tile_rows, min((tile + 1) * tile_rows, len(keys_out))
            _tile_pairs(
                first,
                last,
                keys_out,
                rows_out,
                keys_in,
                rows_in,
                shifts,
                width,
                step,
                line_in,
                line_out,
                pairs[tile],
                counts[tile],
            )
            tile = fetch_add(counter.ctypes.data)


@njit(nogil=True, cache=True)
@no_type_check
def join_pairs(pairs, begin, pairs_in, pairs_out):
    """Copy the pairs of all tiles to consecutive lists; those of tile t go to [begin[t], begin[t + 1])."""
    for tile in range(len(pairs)):
        for i in range(begin[tile + 1] - begin[tile]):
            pairs_in[begin[tile] + i] = pairs[tile, i, 0]
            pairs_out[begin[tile] + i] = pairs[tile, i, 1]


@njit(nogil=True, cache=True)
@no_type_check
def group_by_input(pairs_in, pairs_out, segments, tile_rows, cursor, back_in, back_out):
    """Order pairs by tile of input rows and offset; `cursor` [t, v] holds zeros, then the group ends."""
    for tile in range(segments.shape[0]):
        for k in range(segments.shape[1]):
            for i in range(segments[tile, k, 0], segments[tile, k, 1]):
                cursor[pairs_in[i] // tile_rows, k] += 1
    total = 0
    for tile in range(cursor.shape[0]):
        for k in range(cursor.shape[1]):
            count = cursor[tile, k]
            cursor[tile, k] = total
            total += count
    for tile in range(segments.shape[0]):
        for k in range(segments.shape[1]):
            for i in range(segments[tile, k, 0], segments[tile, k, 1]):
                group = pairs_in[i] // tile_rows
                at = cursor[group, k]
                back_in[at], back_out[at] = pairs_out[i], pairs_in[i]
                cursor[group, k] = at + 1
