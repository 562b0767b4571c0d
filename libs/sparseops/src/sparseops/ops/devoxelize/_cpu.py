"""Corners of points among sorted sites: one bisection finds two neighbours along x."""

from typing import no_type_check

import numpy as np
import torch
from torch import Tensor

from sparseops._backend import sync_threads
from sparseops._numba import njit, prange


@njit(cache=True)
@no_type_check
def _first_from(keys, key):
    """Return the place of the first key not below `key`."""
    place, length = 0, len(keys)
    while length > 0:
        half = (length + 1) // 2
        # A product instead of a branch to mispredict.
        place += half * (keys[place + half - 1] < key)
        length -= half
    return place


@njit(cache=True, parallel=True)
@no_type_check
def _corners(points_bzyx, keys, order, shape_bzyx, idx, weights):
    one = points_bzyx.dtype.type(1)
    batch, nz, ny, nx = shape_bzyx[0], shape_bzyx[1], shape_bzyx[2], shape_bzyx[3]
    for n in prange(points_bzyx.shape[0]):
        idx[n, :] = -1
        weights[n, :] = 0
        sample = points_bzyx[n, 0]
        pz, py, px = points_bzyx[n, 1], points_bzyx[n, 2], points_bzyx[n, 3]
        fz, fy, fx = np.floor(pz), np.floor(py), np.floor(px)
        near = fz >= -1 and fy >= -1 and fx >= -1 and fz < nz and fy < ny and fx < nx
        if not (near and sample >= 0 and sample < batch):
            continue
        b, z, y, x = np.int64(sample), np.int64(fz), np.int64(fy), np.int64(fx)
        for side in range(4):
            dy, dz = side // 2, side % 2
            if not (0 <= z + dz < nz and 0 <= y + dy < ny):
                continue
            line = ((b * nz + z + dz) * ny + y + dy) * nx
            weight_y = py - fy if dy else (fy + one) - py
            weight_z = pz - fz if dz else (fz + one) - pz
            place = _first_from(keys, line + max(x, 0))
            for dx in range(2):
                inside = 0 <= x + dx < nx
                if inside and place < len(keys) and keys[place] == line + x + dx:
                    weight_x = px - fx if dx else (fx + one) - px
                    idx[n, dx * 4 + side] = order[place]
                    weights[n, dx * 4 + side] = (weight_x * weight_y) * weight_z
                    place += 1


def trilinear_corners(
    points_bzyx: Tensor, keys: Tensor, order: Tensor, shape_bzyx: list[int]
) -> tuple[Tensor, Tensor]:
    """Same results as the reference, bit for bit."""
    idx = torch.empty(len(points_bzyx), 8, dtype=torch.int64)
    weights = points_bzyx.new_empty(len(points_bzyx), 8)
    sync_threads()
    _corners(
        points_bzyx.contiguous().numpy(),
        keys.contiguous().numpy(),
        order.contiguous().numpy(),
        np.asarray(shape_bzyx, np.int64),
        idx.numpy(),
        weights.numpy(),
    )
    return idx, weights
