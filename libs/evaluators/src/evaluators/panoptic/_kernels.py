"""Compiled loop of the panoptic protocols. Import on first use only: this loads numba.

Kernels carry `no_type_check` because a run-time type check inside a compiled function cannot be compiled.
"""

# numba has no types for compiled functions.
# pyright: reportUnknownVariableType=false

from __future__ import annotations

from typing import no_type_check

import numpy as np
from numba import njit


@njit(cache=True)
@no_type_check
def count_pairs(first, second):
    """Return the distinct pairs (first[i], second[i]) in order of first appearance, and how often each comes.

    Both inputs are unsigned integers [n] of one type, compared exactly. An open-addressing hash table that is
    at most half full; neighbours of a lidar scan mostly share their labels, so a run costs one look-up.
    """
    mask = np.int64(1023)
    slots = np.full(mask + 1, -1, np.int64)
    capacity = (mask + 1) // 2
    left = np.empty(capacity, first.dtype)
    right = np.empty(capacity, second.dtype)
    counts = np.zeros(capacity, np.int64)
    used = 0
    last = -1
    for i in range(len(first)):
        x, y = first[i], second[i]
        if last >= 0 and left[last] == x and right[last] == y:
            counts[last] += 1
            continue
        slot = _hash(x, y, mask)
        while slots[slot] >= 0 and (left[slots[slot]] != x or right[slots[slot]] != y):
            slot = (slot + 1) & mask
        last = slots[slot]
        if last < 0:
            if used == capacity:
                mask = 4 * (mask + 1) - 1
                slots = _slots(left, right, mask)
                capacity = (mask + 1) // 2
                left = _grown(left, capacity)
                right = _grown(right, capacity)
                counts = _grown(counts, capacity)
                slot = _hash(x, y, mask)
                while slots[slot] >= 0:
                    slot = (slot + 1) & mask
            last = used
            slots[slot] = used
            left[used], right[used], counts[used] = x, y, 0
            used += 1
        counts[last] += 1
    return left[:used].copy(), right[:used].copy(), counts[:used].copy()


@njit(cache=True)
@no_type_check
def _hash(x, y, mask):
    """Return a slot for the pair; the constants are odd numbers with well spread bits (splitmix64)."""
    mixed = (np.uint64(x) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(y)) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0x94D049BB133111EB)
    return np.int64(mixed >> np.uint64(32)) & mask


@njit(cache=True)
@no_type_check
def _slots(left, right, mask):
    """Return a table of `mask` + 1 slots that holds all pairs."""
    slots = np.full(mask + 1, -1, np.int64)
    for at in range(len(left)):
        slot = _hash(left[at], right[at], mask)
        while slots[slot] >= 0:
            slot = (slot + 1) & mask
        slots[slot] = at
    return slots


@njit(cache=True)
@no_type_check
def _grown(values, capacity):
    """Return `values` with room for `capacity` entries."""
    larger = np.empty(capacity, values.dtype)
    larger[: len(values)] = values
    return larger
