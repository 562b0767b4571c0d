"""Output sites on the CPU: number all candidate cells, sort the numbers, keep the distinct ones."""

from typing import no_type_check

import numpy as np
import torch
from torch import Tensor

from sparseops._numba import njit
from sparseops._numba.sort import sort_keys
from sparseops.ops.kernel_map._window import Triple, Window


def transposed_sites(coords_in: Tensor, shape_out: Triple, window: Window) -> Tensor:
    """Cells `p * stride - padding + k * dilation` of the output grid, ascending. [m, 4] int32."""
    keys = np.empty(len(coords_in) * window.volume, np.int64)
    geometry = window.kernel_size, window.stride, window.padding, window.dilation
    count = _transposed_keys(coords_in.numpy(), shape_out, *geometry, keys)
    return _distinct(keys[:count], shape_out)


def floor_sites(coords_in: Tensor, shape_out: Triple, stride: Triple) -> Tensor:
    """Distinct cells `floor(p / stride)`, ascending. [m, 4] int32."""
    return _distinct(_floor_keys(coords_in.numpy(), shape_out, stride), shape_out)


def _distinct(keys: np.ndarray, shape: Triple) -> Tensor:
    cells = torch.empty((len(keys), 4), dtype=torch.int32)
    return cells[: _distinct_cells(sort_keys(keys)[0], shape, cells.numpy())].clone()


@njit(nogil=True, cache=True)
@no_type_check
def _transposed_keys(coords, shape, kernel, stride, padding, dilation, keys):
    count = 0
    for i in range(len(coords)):
        corner_z = coords[i, 1] * stride[0] - padding[0]
        corner_y = coords[i, 2] * stride[1] - padding[1]
        corner_x = coords[i, 3] * stride[2] - padding[2]
        for kz in range(kernel[0]):
            z = corner_z + kz * dilation[0]
            if z < 0 or z >= shape[0]:
                continue
            for ky in range(kernel[1]):
                y = corner_y + ky * dilation[1]
                if y < 0 or y >= shape[1]:
                    continue
                line = ((coords[i, 0] * shape[0] + z) * shape[1] + y) * shape[2]
                for kx in range(kernel[2]):
                    x = corner_x + kx * dilation[2]
                    if x >= 0 and x < shape[2]:
                        keys[count] = line + x
                        count += 1
    return count


@njit(nogil=True, cache=True)
@no_type_check
def _floor_keys(coords, shape, stride):
    keys = np.empty(len(coords), np.int64)
    for i in range(len(coords)):
        key = np.int64(coords[i, 0])
        for axis in range(3):
            key = key * shape[axis] + coords[i, axis + 1] // stride[axis]
        keys[i] = key
    return keys


@njit(nogil=True, cache=True)
@no_type_check
def _distinct_cells(keys, shape, coords):
    """Decode the distinct ones of ascending keys into `coords` [n, 4]; return how many."""
    count = 0
    for i in range(len(keys)):
        if i > 0 and keys[i] == keys[i - 1]:
            continue
        rest = keys[i]
        for axis in range(2, -1, -1):
            above = rest // shape[axis]
            coords[count, axis + 1] = rest - above * shape[axis]
            rest = above
        coords[count, 0] = rest
        count += 1
    return count
