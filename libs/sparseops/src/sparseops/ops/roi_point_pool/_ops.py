"""Registration of RoI point pooling with PyTorch: the rows to take, and taking them."""

from typing import Any

import torch
from torch import Tensor

from sparseops._operator import dispatched, operator
from sparseops.ops.points_in_boxes._reference import box_frames
from sparseops.ops.roi_point_pool import _reference
from sparseops.ops.scatter import scatter_sum

_first_inside = dispatched(_reference.first_inside)


def _fake(points: Tensor, rois: Tensor, samples: int, extra_width: list[float], margin: float) -> Tensor:
    return points.new_empty(*rois.shape[:2], samples, dtype=torch.int64)


@operator("sparseops::roi_point_rows", fake=_fake)
def roi_point_rows(
    points: Tensor, rois: Tensor, samples: int, extra_width: list[float], margin: float
) -> Tensor:
    """Return rows [b, m, samples] of the points of all samples, one sample after the other; -1 if empty."""
    enlarged = rois.clone()
    for column, width in enumerate(extra_width, start=3):
        enlarged[..., column] += width
    first, count = _first_inside(points, box_frames(enlarged, margin), samples)
    turn = torch.arange(samples, device=points.device) % count[..., None].clamp(min=1)
    start = torch.arange(len(points), device=points.device)[:, None, None] * points.shape[1]
    return torch.where(count[..., None] > 0, first.gather(2, turn) + start, -1)


def _fake_take(table: Tensor, rows: Tensor) -> Tensor:
    return table.new_empty(len(rows), table.shape[1])


@operator("sparseops::take_rows", fake=_fake_take)
def take_rows(table: Tensor, rows: Tensor) -> Tensor:
    """Return rows [k] of a table [n, c], zeros for negative rows.

    Copying rows is what PyTorch does best on every device, but its gradient differs from run to run on CUDA;
    this one is a sum of rows by index.
    """
    padded = torch.cat([table, table.new_zeros(1, table.shape[1])])
    return padded.index_select(0, torch.where(rows < 0, len(table), rows))


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    table, rows = inputs
    ctx.save_for_backward(rows)
    ctx.count = len(table)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
    (rows,) = ctx.saved_tensors
    return scatter_sum(grad, rows, dim_size=ctx.count), None


torch.library.register_autograd("sparseops::take_rows", _backward, setup_context=_save)
