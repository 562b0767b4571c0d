"""Voxel query over sorted sites: lines of equal (b, z, y) are found by bisection, then walked."""

from typing import no_type_check

import numpy as np
import torch
from torch import Tensor

from sparseops._backend import sync_threads
from sparseops._numba import njit, prange


@njit(cache=True)
@no_type_check
def _lines(coords, order):
    """Return the (b, z, y) lines of sorted sites and where each starts; one more start closes the last."""
    n = coords.shape[0]
    line_bzy = np.empty((n, 3), np.int64)
    line_start = np.empty(n + 1, np.int64)
    count = 0
    for i in range(n):
        row = order[i]
        b, z, y = coords[row, 0], coords[row, 1], coords[row, 2]
        if (
            count == 0
            or line_bzy[count - 1, 0] != b
            or line_bzy[count - 1, 1] != z
            or line_bzy[count - 1, 2] != y
        ):
            line_bzy[count, 0], line_bzy[count, 1], line_bzy[count, 2] = b, z, y
            line_start[count] = i
            count += 1
    line_start[count] = n
    return line_bzy[:count], line_start[: count + 1]


@njit(cache=True)
@no_type_check
def _first_line(line_bzy, b, z, y):
    """Index of the first line not below (b, z, y)."""
    low, high = 0, line_bzy.shape[0]
    while low < high:
        middle = (low + high) // 2
        mb, mz, my = line_bzy[middle, 0], line_bzy[middle, 1], line_bzy[middle, 2]
        if mb < b or (mb == b and (mz < z or (mz == z and my < y))):
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True, parallel=True)
@no_type_check
def _query(centre_coords, centres, site_x, site_xyz, order, line_bzy, line_start, ranges, limit, idx, empty):  # noqa: PLR0913 - plain arrays are what a kernel takes
    rz, ry, rx = ranges[0], ranges[1], ranges[2]
    samples = idx.shape[1]
    for q in prange(centres.shape[0]):
        b, z, y, x = centre_coords[q, 0], centre_coords[q, 1], centre_coords[q, 2], centre_coords[q, 3]
        found = 0
        for layer in range(z - rz, z + rz + 1):
            line = _first_line(line_bzy, b, layer, y - ry)
            while (
                found < samples
                and line < line_bzy.shape[0]
                and line_bzy[line, 0] == b
                and line_bzy[line, 1] == layer
                and line_bzy[line, 2] <= y + ry
            ):
                low, high = line_start[line], line_start[line + 1]
                stop = high
                while low < high:
                    middle = (low + high) // 2
                    if site_x[middle] < x - rx:
                        low = middle + 1
                    else:
                        high = middle
                while low < stop and found < samples and site_x[low] <= x + rx:
                    repeated = low > line_start[line] and site_x[low] == site_x[low - 1]
                    dx = site_xyz[low, 0] - centres[q, 0]
                    dy = site_xyz[low, 1] - centres[q, 1]
                    dz = site_xyz[low, 2] - centres[q, 2]
                    if not repeated and (dx * dx + dy * dy) + dz * dz <= limit:
                        idx[q, found] = order[low]
                        found += 1
                    low += 1
                line += 1
        empty[q] = found == 0
        first = idx[q, 0] if found > 0 else 0
        for s in range(found, samples):
            idx[q, s] = first


def voxel_query(
    centre_coords_bzyx: Tensor,
    centres_xyz: Tensor,
    sparse_coords_bzyx: Tensor,
    voxel_xyz: Tensor,
    ranges: list[int],
    radius: float,
    samples: int,
) -> tuple[Tensor, Tensor]:
    """Same results as the reference, bit for bit."""
    coords = sparse_coords_bzyx.contiguous().numpy().astype(np.int64, copy=False)
    order = np.lexsort((coords[:, 3], coords[:, 2], coords[:, 1], coords[:, 0]))
    line_bzy, line_start = _lines(coords, order)
    idx = torch.empty(len(centres_xyz), samples, dtype=torch.int64)
    empty = torch.empty(len(centres_xyz), dtype=torch.bool)
    sync_threads()
    _query(
        centre_coords_bzyx.contiguous().numpy().astype(np.int64, copy=False),
        centres_xyz.contiguous().numpy(),
        coords[order, 3],
        voxel_xyz.contiguous().numpy()[order],
        order,
        line_bzy,
        line_start,
        np.asarray(ranges, np.int64),
        np.float32(radius) * np.float32(radius),
        idx.numpy(),
        empty.numpy(),
    )
    return idx, empty
