"""First points in boxes in plain PyTorch, any device. This file decides what is right."""

import torch
from torch import Tensor

from sparseops.ops.points_in_boxes._reference import inside_reference


def first_inside(points: Tensor, frames: Tensor, samples: int) -> tuple[Tensor, Tensor]:
    """List the first points [b, n, 3] inside every box [b, m, 9] of `box_frames`.

    Returns rows [b, m, samples], of which the first `count` [b, m] are set; the others hold anything.
    """
    b, n, _ = points.shape
    rows = torch.zeros(b, frames.shape[1], max(samples, n), dtype=torch.int64, device=points.device)
    count = rows.new_zeros(b, frames.shape[1])
    for sample in range(b):
        inside = inside_reference(points[sample], frames[sample])[0].T
        # A stable sort brings the points inside to the front, in their order.
        rows[sample, :, :n] = torch.sort(~inside, dim=1, stable=True).indices
        count[sample] = inside.sum(1)
    return rows[..., :samples].contiguous(), count.clamp(max=samples)
