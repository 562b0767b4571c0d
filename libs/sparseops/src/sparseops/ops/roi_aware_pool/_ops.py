"""Registration of the rows of RoI-aware pooling with PyTorch: their number depends on the data."""

import torch
from torch import Tensor

from sparseops._operator import dispatched, operator
from sparseops.ops.points_in_boxes._reference import box_frames
from sparseops.ops.roi_aware_pool import _reference

_points_in_cells = dispatched(_reference.points_in_cells)


def _fake(points: Tensor, rois: Tensor, cells: list[int], kept: int, margin: float) -> tuple[Tensor, Tensor]:
    number = torch.library.get_ctx().new_dynamic_size()
    return points.new_empty(number, dtype=torch.int64), points.new_empty(number, dtype=torch.int64)


@operator("sparseops::roi_aware_rows", fake=_fake)
def roi_aware_rows(
    points: Tensor, rois: Tensor, cells: list[int], kept: int, margin: float
) -> tuple[Tensor, Tensor]:
    """Return the rows of the kept points and their cells, sorted by cell."""
    frames, grid = box_frames(rois, margin), _reference.cell_frames(rois, cells)
    return _reference.first_in_cells(*_points_in_cells(points, frames, grid, cells), kept)
