"""Registration of RoI point pooling with PyTorch: the rows to take."""

import torch
from torch import Tensor

from sparseops._operator import dispatched, operator
from sparseops.ops.points_in_boxes._reference import box_frames
from sparseops.ops.roi_point_pool import _reference

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
