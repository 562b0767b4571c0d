"""Registration of the voxel query with PyTorch."""

from typing import Any

import torch
from torch import Tensor

from sparseops._operator import dispatched, operator
from sparseops.ops.voxel_query import _reference


def _fake(centre_coords_bzyx: Tensor, centres_xyz: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    m, samples = centres_xyz.shape[0], rest[-1]
    return centres_xyz.new_empty(m, samples, dtype=torch.int64), centres_xyz.new_empty(m, dtype=torch.bool)


voxel_query = operator("sparseops::voxel_query", fake=_fake)(dispatched(_reference.voxel_query))
