"""Radix sort of site keys: they span few bits, so two or three linear passes beat any comparison sort."""

from typing import no_type_check

import numpy as np
from geom3d.compiled import njit

_DIGIT_BITS = 11


@njit(nogil=True, cache=True)
@no_type_check
def number_cells(coords, shape):
    """Keys of cells b z y x or b y x of a batch of grids of `shape`, and whether they ascend strictly."""
    keys = np.empty(len(coords), np.int64)
    ascending, before = True, np.int64(-1)
    for i in range(len(coords)):
        key = np.int64(coords[i, 0])
        for axis in range(1, coords.shape[1]):
            key = key * shape[axis - 1] + coords[i, axis]
        ascending &= key > before
        keys[i] = before = key
    return keys, ascending


@njit(nogil=True, cache=True)
@no_type_check
def radix_sort(keys, order, key_buffer, order_buffer):
    """Sort keys >= 0 ascending and stably, in place, and carry `order` along; the buffers are as long."""
    largest = np.int64(0)
    for key in keys:
        largest = max(largest, key)
    counts = np.empty((1 << _DIGIT_BITS) + 1, np.int64)
    digits = (1 << _DIGIT_BITS) - 1
    source, source_order, target, target_order = keys, order, key_buffer, order_buffer
    shift = 0
    while largest >> shift:
        counts[:] = 0
        for key in source:
            counts[((key >> shift) & digits) + 1] += 1
        for digit in range(digits + 1):
            counts[digit + 1] += counts[digit]
        for i in range(len(source)):
            digit = (source[i] >> shift) & digits
            at = counts[digit]
            counts[digit] = at + 1
            target[at], target_order[at] = source[i], source_order[i]
        source, source_order, target, target_order = target, target_order, source, source_order
        shift += _DIGIT_BITS
    if (shift // _DIGIT_BITS) % 2:
        keys[:], order[:] = key_buffer, order_buffer


def sort_keys(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return int64 keys >= 0 in ascending order, and where each was. [n], [n] int64."""
    ascending, order = keys.copy(), np.arange(len(keys))
    radix_sort(ascending, order, np.empty_like(ascending), np.empty_like(order))
    return ascending, order
