"""Compiled loops of strided plans: the sites of the output and its pairs, made line by line.

A line is the cells of equal (b, z, y). Few lines are candidates to be written, so they are sorted instead of
the sites, and each is made as a bit map.
"""
# ruff: noqa: PLR0913 (operators and kernels take flat lists of arrays)

from math import gcd
from typing import no_type_check

import numpy as np

from sparseops._numba import njit, prange
from sparseops._numba.intrinsics import fetch_add, lowest, ones
from sparseops.ops.kernel_map._kernels import begins_from_counts
from sparseops.ops.kernel_map._reference import TILE_ROWS


@njit(nogil=True, cache=True)
@no_type_check
def readers(values, size_out, kernel, stride, padding, dilation):
    """Output cells of one axis that read each input coordinate, and at which offset; and how many there are.

    [values, most], [values, most] and [values]. What is missing to the largest number repeats the first.
    """
    most = -(-kernel // (stride // gcd(stride, dilation)))
    cells, offsets = np.zeros((len(values), most), np.int64), np.zeros((len(values), most), np.int64)
    count = np.zeros(len(values), np.int64)
    for i in range(len(values)):
        for k in range(kernel):
            ahead = values[i] + padding - k * dilation
            cell = ahead // stride
            if cell * stride == ahead and 0 <= cell < size_out:
                if count[i] == 0:
                    cells[i] = cell
                cells[i, count[i]], offsets[i, count[i]] = cell, k
                count[i] += 1
    most = count.max() if len(values) else 1
    return cells[:, :most].copy(), offsets[:, :most].copy(), count


@njit(nogil=True, cache=True)
@no_type_check
def line_begins(coords):
    """Positions where the lines, sites of equal (b, z, y), of ascending sites begin; at last their number."""
    begins = np.empty(len(coords) + 1, np.int32)
    lines = 0
    for i in range(len(coords)):
        # Written always and kept only if a line begins here: a branch would be guessed wrong too often.
        begins[lines] = i
        j = max(i - 1, 0)
        lines += (
            (i == 0)
            | (coords[i, 2] != coords[j, 2])
            | (coords[i, 1] != coords[j, 1])
            | (coords[i, 0] != coords[j, 0])
        )
    begins[lines] = len(coords)
    return begins[: lines + 1]


@njit(nogil=True, cache=True)
@no_type_check
def line_candidates(coords, begins, axis_z, axis_y, shape_out, window):
    """Pairs of an output and an input line that some offset connects.

    Returns the keys of the output lines, (b Z + z) Y + y, the numbers of the input lines, and the first
    offsets of the kernel's lines, (kz Ky + ky) Kx. `axis_z` and `axis_y` are what `readers` returned,
    `window`: kernel, stride, padding, dilation along z, y, x.
    """
    cells_z, offsets_z, count_z = axis_z
    cells_y, offsets_y, count_y = axis_y
    total = 0
    for line in range(len(begins) - 1):
        i = begins[line]
        total += count_z[coords[i, 1]] * count_y[coords[i, 2]]
    keys, lines, kernel_lines = (
        np.empty(total, np.int64),
        np.empty(total, np.int32),
        np.empty(total, np.int32),
    )
    at = 0
    for line in range(len(begins) - 1):
        i = begins[line]
        batch, z, y = np.int64(coords[i, 0]), coords[i, 1], coords[i, 2]
        for a in range(count_z[z]):
            plane = (batch * shape_out[0] + cells_z[z, a]) * shape_out[1]
            for c in range(count_y[y]):
                keys[at], lines[at] = plane + cells_y[y, c], line
                kernel_lines[at] = (offsets_z[z, a] * window[0, 1] + offsets_y[y, c]) * window[0, 2]
                at += 1
    return keys, lines, kernel_lines


@njit(nogil=True, cache=True)
@no_type_check
def split_candidates(keys, order, lines, begins, most, chunks):
    """Split the candidates of ascending output lines into `chunks` parts that share no output line.

    Returns where the parts begin, [chunks + 1], and where their results have room, [chunks + 1].
    """
    starts, room = np.zeros(chunks + 1, np.int64), np.zeros(chunks + 1, np.int64)
    chunk = total = 0
    for at in range(len(keys)):
        if chunk * len(keys) <= at * chunks and (at == 0 or keys[at] != keys[at - 1]):
            starts[chunk], room[chunk] = at, total
            chunk += 1
        line = lines[order[at]]
        # One more for the last repeated cell, which is written although it does not count.
        total += (begins[line + 1] - begins[line]) * most + 1
    starts[chunk:], room[chunk:] = len(keys), total
    return starts, room


@njit(nogil=True)
@no_type_check
def _strided_cells(candidates, first, end, sites, axis, shape_out, words, ranks, out, found):  # noqa: C901 - one pass
    """Write the cells of the output lines of candidates [first, end), and their pairs; return how many."""
    keys, order, lines, kernel_lines = candidates
    coords, rows, begins = sites
    cells, offsets, count = axis
    one, most = np.uint64(1), cells.shape[1]
    total = pairs = 0
    while first < end:
        key, low, high, last = keys[first], len(words), -1, first
        while last < end and keys[last] == key:
            line = lines[order[last]]
            for i in range(begins[line], begins[line + 1]):
                x = coords[i, 3]
                for c in range(most if count[x] else 0):
                    word = cells[x, c] >> 6
                    low, high = min(low, word), max(high, word)
                    words[word] |= one << np.uint64(cells[x, c] & 63)
            last += 1
        plane = key // shape_out[1]
        batch = plane // shape_out[0]
        z, y = plane - batch * shape_out[0], key - plane * shape_out[1]
        for word in range(low, high + 1):
            ranks[word] = total
            rest = words[word]
            while rest != 0:
                out[total, 0], out[total, 1], out[total, 2] = batch, z, y
                out[total, 3] = (word << 6) + lowest(rest)
                rest &= rest - one
                total += 1
        for candidate in range(first, last):
            line, k = lines[order[candidate]], kernel_lines[order[candidate]]
            for i in range(begins[line], begins[line + 1]):
                x = coords[i, 3]
                for c in range(most if count[x] else 0):
                    word, bit = cells[x, c] >> 6, np.uint64(cells[x, c] & 63)
                    found[pairs, 0], found[pairs, 1] = k + offsets[x, c], rows[i]
                    found[pairs, 2] = ranks[word] + ones(words[word] & ((one << bit) - one))
                    # A repeated cell is overwritten: cheaper than a branch that is often guessed wrong.
                    pairs += c < count[x]
        for word in range(low, high + 1):
            words[word] = 0
        first = last
    return total, pairs


@njit(parallel=True, nogil=True, cache=True)
@no_type_check
def strided_cells(
    threads,
    counter,
    keys,
    order,
    lines,
    kernel_lines,
    coords,
    rows,
    begins,
    cells,
    offsets,
    count,
    shape_out,
    starts,
    room,
    out,
    found,
    sizes,
):
    """Write the cells that read an input site to `out` [., 4] and the pairs to `found` [., 3], part by part.

    Part i has room from room[i] on and writes sizes[i] cells and pairs. Its output lines are made one after
    the other, each as a bit map. `keys` are ascending, `order` where each was in `lines` and `kernel_lines`.
    A pair is offset, input row and output cell of the part; those of one offset are in output order.
    """
    for _ in prange(threads):
        words = np.zeros((shape_out[2] >> 6) + 1, np.uint64)
        ranks = np.empty((shape_out[2] >> 6) + 1, np.int64)
        part = fetch_add(counter.ctypes.data)
        while part < len(sizes):
            candidates, sites = (keys, order, lines, kernel_lines), (coords, rows, begins)
            sizes[part, 0], sizes[part, 1] = _strided_cells(
                candidates,
                starts[part],
                starts[part + 1],
                sites,
                (cells, offsets, count),
                shape_out,
                words,
                ranks,
                out[room[part] : room[part + 1]],
                found[room[part] : room[part + 1]],
            )
            part = fetch_add(counter.ctypes.data)


@njit(nogil=True, cache=True)
@no_type_check
def join_cells(room, sizes, cells, joined):
    """Copy the cells of all parts to one list."""
    at = 0
    for part in range(len(sizes)):
        for i in range(room[part], room[part] + sizes[part, 0]):
            for axis in range(4):
                joined[at, axis] = cells[i, axis]
            at += 1


@njit(nogil=True, cache=True)
@no_type_check
def group_pairs(room, sizes, found, cursor, pairs_in, pairs_out):
    """Order the pairs of all parts by tile of output rows and offset.

    `cursor` [t, v] holds zeros, then the group ends.
    """
    base = 0
    for part in range(len(sizes)):
        for i in range(room[part], room[part] + sizes[part, 1]):
            cursor[(base + found[i, 2]) // TILE_ROWS, found[i, 0]] += 1
        base += sizes[part, 0]
    begins_from_counts(cursor)
    base = 0
    for part in range(len(sizes)):
        for i in range(room[part], room[part] + sizes[part, 1]):
            row = base + found[i, 2]
            at = cursor[row // TILE_ROWS, found[i, 0]]
            pairs_in[at], pairs_out[at] = found[i, 1], row
            cursor[row // TILE_ROWS, found[i, 0]] = at + 1
        base += sizes[part, 0]
