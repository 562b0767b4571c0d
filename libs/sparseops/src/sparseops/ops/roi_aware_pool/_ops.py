"""Registration of the rows of RoI-aware pooling with PyTorch: their number depends on the data."""

from typing import Any

import torch
from torch import Tensor

from sparseops._operator import dispatched, operator
from sparseops.ops.points_in_boxes._reference import box_frames
from sparseops.ops.roi_aware_pool import _reference

_points_in_cells = dispatched(_reference.points_in_cells)


def _fake(points: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor]:
    number, cells = (torch.library.get_ctx().new_dynamic_size() for _ in range(2))
    row, group, cell = (points.new_empty(size, dtype=torch.int64) for size in (number, number, cells))
    return row, group, cell


@operator("sparseops::roi_aware_rows", fake=_fake)
def roi_aware_rows(
    points: Tensor, rois: Tensor, cells: list[int], kept: int, margin: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return rows of the kept points by cell, places of their cells among the occupied ones, and these."""
    frames, grid = box_frames(rois, margin), _reference.cell_frames(rois, cells)
    row, cell = _reference.first_in_cells(*_points_in_cells(points, frames, grid, cells), kept)
    occupied, group = torch.unique_consecutive(cell, return_inverse=True)
    return row, group, occupied
