"""Registration of furthest point sampling with PyTorch."""

import torch
from torch import Tensor

from sparseops._operator import dispatched, operator
from sparseops.ops.furthest_point_sample import _reference


def _fake(points: Tensor, count: int) -> Tensor:
    return points.new_empty(points.shape[0], count, dtype=torch.int64)


furthest_point_sample = operator("sparseops::furthest_point_sample", fake=_fake)(
    dispatched(_reference.furthest_point_sample)
)
