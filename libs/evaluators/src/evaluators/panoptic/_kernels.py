"""Compiled loop of the panoptic protocols. Import on first use only: this loads numba.

Kernels carry `no_type_check` because a run-time type check inside a compiled function cannot be compiled.
"""

# numba has no types for compiled functions.
# pyright: reportUnknownVariableType=false

from __future__ import annotations

from typing import no_type_check

import numpy as np
from geom3d.compiled import njit


@njit(cache=True)
@no_type_check
def count_pairs(first, second):
    """Return the distinct pairs (first[i], second[i]) in order of first appearance, and how often each comes.

    Both inputs are unsigned integers [n] of one type, compared exactly. An open-addressing hash table that is
    at most half full; neighbours of a lidar scan mostly share their labels, so a run costs one look-up.
    """
    size = 2048
    slots = np.full(size, -1, np.int32)
    left = np.empty(size // 2, first.dtype)
    right = np.empty(size // 2, second.dtype)
    counts = np.zeros(size // 2, np.int64)
    at, used = _fill(first, second, 0, slots, left, right, counts, 0)
    while at < len(first):
        size *= 4
        left, right, counts = _grown(left, size // 2), _grown(right, size // 2), _grown(counts, size // 2)
        slots = np.full(size, -1, np.int32)
        for entry in range(used):
            slots[_slot(left[entry], right[entry], slots, left, right)] = entry
        at, used = _fill(first, second, at, slots, left, right, counts, used)
    return left[:used].copy(), right[:used].copy(), counts[:used].copy()


@njit(cache=True)
@no_type_check
def _fill(first, second, at, slots, left, right, counts, used):
    """Count from point `at` until the points end or the table is full; return the next point and `used`."""
    n = len(first)
    while at < n:
        x, y = first[at], second[at]
        slot = _slot(x, y, slots, left, right)
        entry = slots[slot]
        if entry < 0:
            if used == len(left):
                break
            entry = used
            slots[slot] = entry
            left[entry], right[entry], counts[entry] = x, y, 0
            used += 1
        start = at
        at += 1
        while at < n and first[at] == x and second[at] == y:
            at += 1
        counts[entry] += at - start
    return at, used


@njit(cache=True)
@no_type_check
def _slot(x, y, slots, left, right):
    """Return the slot that holds the pair, or the free one where it belongs.

    The constants are odd numbers with well spread bits (those of splitmix64).
    """
    mixed = (np.uint64(x) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(y)) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0x94D049BB133111EB)
    mask = np.uint64(len(slots) - 1)
    slot = (mixed >> np.uint64(32)) & mask
    entry = slots[slot]
    while entry >= 0 and (left[entry] != x or right[entry] != y):
        slot = (slot + np.uint64(1)) & mask
        entry = slots[slot]
    return slot


@njit(cache=True)
@no_type_check
def _grown(values, capacity):
    """Return `values` with room for `capacity` entries."""
    larger = np.empty(capacity, values.dtype)
    larger[: len(values)] = values
    return larger
