"""Points in the cells of RoIs on the CPU: a thread owns RoIs and looks only at points near them in x."""

from typing import no_type_check

import numpy as np
import torch
from torch import Tensor

from sparseops._backend import sync_threads
from sparseops._numba import njit, prange
from sparseops.ops.points_in_boxes._cpu import rows_inside, sorted_by_x


@njit(cache=True)
@no_type_check
def _place(value, half, step, number):
    return min(max(np.int64((value + half) / step), 0), number - 1)


@njit(cache=True, parallel=True)
@no_type_check
def _count(points, by_x, sorted_x, frames, count):
    for r in prange(frames.shape[0]):
        count[r] = len(rows_inside(points, by_x, sorted_x, frames[r]))


@njit(cache=True, parallel=True)
@no_type_check
def _fill(points, by_x, sorted_x, frames, grid, cells, starts, row, cell):  # noqa: PLR0913
    for r in prange(frames.shape[0]):
        inside = rows_inside(points, by_x, sorted_x, frames[r])
        cos, sin = frames[r, 6], frames[r, 7]
        for k in range(len(inside)):
            i = inside[k]
            x, y = points[i, 0] - frames[r, 0], points[i, 1] - frames[r, 1]
            along = _place(x * cos + y * sin, grid[r, 0], grid[r, 3], cells[0])
            across = _place(y * cos - x * sin, grid[r, 1], grid[r, 4], cells[1])
            above = _place(points[i, 2] - frames[r, 2], grid[r, 2], grid[r, 5], cells[2])
            row[starts[r] + k] = i
            cell[starts[r] + k] = ((r * cells[0] + along) * cells[1] + across) * cells[2] + above


def points_in_cells(points: Tensor, frames: Tensor, grid: Tensor, cells: list[int]) -> tuple[Tensor, Tensor]:
    """Same results as the reference, bit for bit."""
    points = points.contiguous()
    cloud = points.numpy(), *sorted_by_x(points), frames.numpy()
    starts = np.zeros(len(frames) + 1, np.int64)
    sync_threads()
    _count(*cloud, starts[1:])
    np.cumsum(starts, out=starts)
    row, cell = (torch.empty(int(starts[-1]), dtype=torch.int64) for _ in range(2))
    _fill(*cloud, grid.numpy(), np.array(cells), starts, row.numpy(), cell.numpy())
    return row, cell
