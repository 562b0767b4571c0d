"""Compiled loops of the kernel maps. Threads draw tiles of output rows; a tile owns its results."""
# ruff: noqa: PLR0913 (operators and kernels take flat lists of arrays)

from typing import no_type_check

import numpy as np

from sparseops._numba import njit, prange
from sparseops._numba.intrinsics import fetch_add
from sparseops.ops.kernel_map._reference import TILE_ROWS


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


@njit(nogil=True)
@no_type_check
def begins_from_counts(cursor):
    total = 0
    for tile in range(cursor.shape[0]):
        for k in range(cursor.shape[1]):
            count = cursor[tile, k]
            cursor[tile, k] = total
            total += count


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
def mirrored_counts(pairs, counts, sites, total):
    """Count the pairs of every tile and offset, `total` [t, v], when those of the lower offsets are known.

    `pairs` [t, ., 2] and `counts` [t, .] hold positions among the ascending sites and begin with the offsets
    below the centre. A pair (input, output) at offset k is a pair (output, input) at v - 1 - k.
    """
    total[:] = 0
    last = total.shape[1] - 1
    for tile in range(len(pairs)):
        pair = 0
        for k in range(last // 2):
            total[tile, k] += counts[tile, k]
            for _ in range(counts[tile, k]):
                total[pairs[tile, pair, 0] // TILE_ROWS, last - k] += 1
                pair += 1
        total[tile, last // 2] = min(TILE_ROWS, sites - tile * TILE_ROWS)


@njit(nogil=True)
@no_type_check
def _mirror_offset(k, pairs, counts, rows, cursor, pairs_in, pairs_out):
    last = cursor.shape[1] - 1
    for tile in range(len(pairs)):
        first = 0
        for below in range(k):
            first += counts[tile, below]
        at = cursor[tile, k]
        for pair in range(first, first + counts[tile, k]):
            near, here = pairs[tile, pair, 0], pairs[tile, pair, 1]
            back = cursor[near // TILE_ROWS, last - k]
            pairs_in[at], pairs_out[at] = rows[near], rows[here]
            pairs_in[back], pairs_out[back] = rows[here], rows[near]
            cursor[near // TILE_ROWS, last - k] = back + 1
            at += 1


@njit(parallel=True, nogil=True, cache=True)
@no_type_check
def mirror_pairs(threads, counter, pairs, counts, rows, cursor, pairs_in, pairs_out):
    """Write all pairs in the order of tiles and offsets; arguments as in `mirrored_counts`.

    `cursor` [t, v] holds where the pairs of tiles and offsets begin. A thread owns an offset and its mirror.
    """
    centre = cursor.shape[1] // 2
    for _ in prange(threads):
        k = fetch_add(counter.ctypes.data)
        while k < centre:
            _mirror_offset(k, pairs, counts, rows, cursor, pairs_in, pairs_out)
            k = fetch_add(counter.ctypes.data)
        if k == centre:
            for site in range(len(rows)):
                at = cursor[site // TILE_ROWS, centre] + site % TILE_ROWS
                pairs_in[at], pairs_out[at] = rows[site], rows[site]


@njit(nogil=True, cache=True)
@no_type_check
def group_by_input(pairs_in, pairs_out, segments, cursor, back_in, back_out):
    """Order pairs by tile of input rows and offset; `cursor` [t, v] holds zeros, then the group ends."""
    for tile in range(segments.shape[0]):
        for k in range(segments.shape[1]):
            for i in range(segments[tile, k, 0], segments[tile, k, 1]):
                cursor[pairs_in[i] // TILE_ROWS, k] += 1
    begins_from_counts(cursor)
    for tile in range(segments.shape[0]):
        for k in range(segments.shape[1]):
            for i in range(segments[tile, k, 0], segments[tile, k, 1]):
                group = pairs_in[i] // TILE_ROWS
                at = cursor[group, k]
                back_in[at], back_out[at] = pairs_out[i], pairs_in[i]
                cursor[group, k] = at + 1
