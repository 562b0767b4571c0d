"""Points in the cells of RoIs in plain PyTorch, any device. This file decides what is right."""

import torch
from torch import Tensor

from sparseops.ops.points_in_boxes._reference import inside_reference


def cell_frames(rois: Tensor, cells: list[int]) -> Tensor:
    """Return half edges and edges of a cell of RoIs [r, 7], for all back ends: [r, 6]."""
    steps = [rois[:, 3 + axis, None] / number for axis, number in enumerate(cells)]
    return torch.cat([rois[:, 3:6] / 2, *steps], dim=1).contiguous()


def points_in_cells(points: Tensor, frames: Tensor, grid: Tensor, cells: list[int]) -> tuple[Tensor, Tensor]:
    """Return every (row of points [n, 3], cell) with the point inside the RoI: [k] and [k].

    RoIs are rows [r, 9] of `box_frames` and [r, 6] of `cell_frames`. Cells are numbered RoI by RoI, x first,
    z fastest. Pairs of a RoI are in the order of the points.
    """
    inside, local = inside_reference(points, frames)
    roi, row = inside.T.nonzero(as_tuple=True)
    place = ((local[row, roi] + grid[roi, :3]) / grid[roi, 3:]).long()
    cell = roi
    for axis, number in enumerate(cells):
        cell = cell * number + place[:, axis].clamp(0, number - 1)
    return row, cell


def first_in_cells(row: Tensor, cell: Tensor, kept: int) -> tuple[Tensor, Tensor]:
    """Sort pairs by cell, those of a cell staying in order, and drop all but the first `kept` of a cell."""
    cell, order = torch.sort(cell, stable=True)
    rank = torch.arange(len(cell), device=cell.device) - torch.searchsorted(cell, cell)
    first = rank < kept
    return row[order][first], cell[first]
