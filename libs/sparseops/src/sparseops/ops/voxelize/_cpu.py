"""Hard voxelisation with one hash table: two passes over the points, no limit on the size of the grid."""

from typing import no_type_check

import numpy as np
import torch
from torch import Tensor

from sparseops._numba import njit


@njit(cache=True)
@no_type_check
def _assign(points, batch_index, lower, size, grid_xyz, max_points, max_voxels, samples):
    """Give every kept point its voxel and slot; voxels in order of first appearance."""
    n = points.shape[0]
    capacity = 16
    while capacity < 2 * n:
        capacity *= 2
    mask = np.int64(capacity - 1)
    table = np.full(capacity, -1, np.int32)
    keys = np.empty(n, np.int64)
    coords = np.empty((n, 4), np.int32)
    counts = np.zeros(n, np.int32)
    voxels_of_sample = np.zeros(samples, np.int64)
    point_voxel = np.full(n, -1, np.int32)
    point_slot = np.empty(n, np.int32)
    total = 0
    nx, ny, nz = grid_xyz[0], grid_xyz[1], grid_xyz[2]
    for i in range(n):
        fx = np.floor((points[i, 0] - lower[0]) / size[0])
        fy = np.floor((points[i, 1] - lower[1]) / size[1])
        fz = np.floor((points[i, 2] - lower[2]) / size[2])
        if not (fx >= 0 and fx < nx and fy >= 0 and fy < ny and fz >= 0 and fz < nz):
            continue
        x, y, z, b = np.int64(fx), np.int64(fy), np.int64(fz), batch_index[i]
        key = ((b * nz + z) * ny + y) * nx + x
        mixed = key * np.int64(-7046029254386353131)  # the golden ratio times 2**64, wraps around
        place = (mixed ^ (mixed >> 32)) & mask
        while table[place] >= 0 and keys[table[place]] != key:
            place = (place + 1) & mask
        voxel = table[place]
        if voxel < 0:
            if voxels_of_sample[b] >= max_voxels:
                continue
            voxels_of_sample[b] += 1
            voxel = total
            total += 1
            table[place] = voxel
            keys[voxel] = key
            coords[voxel, 0], coords[voxel, 1], coords[voxel, 2], coords[voxel, 3] = b, z, y, x
        if counts[voxel] < max_points:
            point_voxel[i] = voxel
            point_slot[i] = counts[voxel]
            counts[voxel] += 1
    return coords[:total].copy(), counts[:total].copy(), point_voxel, point_slot


@njit(cache=True)
@no_type_check
def _fill(points, point_voxel, point_slot, voxels, slots):
    for i in range(points.shape[0]):
        voxel = point_voxel[i]
        if voxel >= 0:
            slot = point_slot[i]
            slots[voxel, slot] = i
            for f in range(points.shape[1]):
                voxels[voxel, slot, f] = points[i, f]


def hard_voxelize(
    points: Tensor,
    batch_index: Tensor,
    voxel_size: list[float],
    bounds: list[float],
    grid_xyz: list[int],
    max_points: int,
    max_voxels: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Same results as the reference, bit for bit."""
    order = None
    if len(batch_index) and bool((batch_index[1:] < batch_index[:-1]).any()):
        order = torch.argsort(batch_index, stable=True)
        points, batch_index = points[order], batch_index[order]
    array = points.contiguous().numpy()
    coords, counts, point_voxel, point_slot = _assign(
        array,
        batch_index.contiguous().numpy(),
        np.asarray(bounds[:3], np.float32),
        np.asarray(voxel_size, np.float32),
        np.asarray(grid_xyz, np.int64),
        max_points,
        max_voxels,
        int(batch_index[-1]) + 1 if len(batch_index) else 0,
    )
    voxels = points.new_zeros(len(coords), max_points, points.shape[1])
    slots = torch.full((len(coords), max_points), -1, dtype=torch.int64)
    _fill(array, point_voxel, point_slot, voxels.numpy(), slots.numpy())
    if order is not None:
        slots = torch.where(slots >= 0, order[slots.clamp(min=0)], -1)
    return voxels, torch.from_numpy(coords), torch.from_numpy(counts), slots
