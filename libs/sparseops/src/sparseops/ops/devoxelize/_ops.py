"""Registration of the corners around points with PyTorch.

On GPUs too the search of sorted keys by PyTorch is the kernel of choice, so there is no other.
"""

from typing import Any

import torch
from torch import Tensor

from sparseops._operator import dispatched, operator
from sparseops.ops.devoxelize import _reference


def _fake(points_bzyx: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    n = points_bzyx.shape[0]
    return points_bzyx.new_empty(n, 8, dtype=torch.int64), points_bzyx.new_empty(n, 8)


trilinear_corners = operator("sparseops::trilinear_corners", fake=_fake, gradient=False)(
    dispatched(_reference.trilinear_corners)
)
