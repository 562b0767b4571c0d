"""Furthest point sampling: two vectorised passes per step over coordinates kept axis by axis."""

from typing import no_type_check

import numpy as np
import torch
from torch import Tensor

from sparseops._backend import sync_threads
from sparseops._numba import njit, prange

_BLOCK = 256


@njit(cache=True)
@no_type_check
def _lower(xyz, nearest, last):
    """Lower the squared distances by those to the newest point."""
    px, py, pz = xyz[0, last], xyz[1, last], xyz[2, last]
    for i in range(nearest.size):
        dx, dy, dz = xyz[0, i] - px, xyz[1, i] - py, xyz[2, i] - pz
        distance = (dx * dx + dy * dy) + dz * dz
        nearest[i] = min(nearest[i], distance)


@njit(cache=True)
@no_type_check
def _furthest(bits):
    """Return the first index of the largest value.

    The values are floats that are not negative, read as integers: these have the same order, and an integer
    maximum becomes vector instructions, which that of floats, with its rules for NaN, does not.
    """
    best, block = np.int32(-1), 0
    for start in range(0, bits.size, _BLOCK):
        largest = np.int32(-1)
        for i in range(start, min(start + _BLOCK, bits.size)):
            largest = max(largest, bits[i])
        if largest > best:
            best, block = largest, start
    for i in range(block, min(block + _BLOCK, bits.size)):
        if bits[i] == best:
            return i
    return 0


@njit(cache=True, parallel=True)
@no_type_check
def _sample(xyz, chosen):
    count = chosen.shape[1]
    for b in prange(xyz.shape[0]):
        nearest = np.full(xyz.shape[2], np.inf, np.float32)
        bits = nearest.view(np.int32)
        chosen[b, 0] = 0
        for step in range(1, count):
            _lower(xyz[b], nearest, chosen[b, step - 1])
            chosen[b, step] = _furthest(bits)


def furthest_point_sample(points: Tensor, count: int) -> Tensor:
    """Same results as the reference, bit for bit."""
    chosen = torch.empty(len(points), count, dtype=torch.int64)
    sync_threads()
    _sample(points.transpose(1, 2).contiguous().numpy(), chosen.numpy())
    return chosen
