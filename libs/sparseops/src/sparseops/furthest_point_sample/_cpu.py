"""Furthest point sampling: one vectorised pass per step over coordinates kept axis by axis."""

from typing import no_type_check

import numpy as np
import torch
from numba import njit, prange
from torch import Tensor

from sparseops._backend import sync_threads


# nnan and nsz let the compiler vectorise the maximum; sums keep their order, so results stay exact.
@njit(cache=True, fastmath={"nnan", "nsz"})
@no_type_check
def _update(x, y, z, nearest, px, py, pz):  # noqa: PLR0913 - plain arrays are what a kernel takes
    """Lower the distances by the newest point and return the largest."""
    largest = np.float32(-1.0)
    for i in range(x.shape[0]):
        dx, dy, dz = x[i] - px, y[i] - py, z[i] - pz
        distance = (dx * dx + dy * dy) + dz * dz
        distance = min(nearest[i], distance)
        nearest[i] = distance
        largest = max(largest, distance)
    return largest


@njit(cache=True, parallel=True)
@no_type_check
def _sample(xyz, chosen):
    n, count = xyz.shape[2], chosen.shape[1]
    for b in prange(xyz.shape[0]):
        nearest = np.full(n, np.inf, np.float32)
        last = 0
        chosen[b, 0] = 0
        for step in range(1, count):
            largest = _update(
                xyz[b, 0], xyz[b, 1], xyz[b, 2], nearest, xyz[b, 0, last], xyz[b, 1, last], xyz[b, 2, last]
            )
            last = 0
            for i in range(n):
                if nearest[i] == largest:
                    last = i
                    break
            chosen[b, step] = last


def furthest_point_sample_cpu(points: Tensor, count: int) -> Tensor:
    """Same results as `furthest_point_sample_reference`, bit for bit."""
    chosen = torch.empty(len(points), count, dtype=torch.int64)
    sync_threads()
    _sample(points.transpose(1, 2).contiguous().numpy(), chosen.numpy())
    return chosen
