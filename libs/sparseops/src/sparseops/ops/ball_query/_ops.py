"""Registration of the ball query with PyTorch."""

from typing import Any

import torch
from torch import Tensor

from sparseops._operator import dispatched, operator
from sparseops.ops.ball_query import _reference


def _fake(centres: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    m, samples = centres.shape[0], rest[-1]
    return centres.new_empty(m, samples, dtype=torch.int64), centres.new_empty(m, dtype=torch.bool)


ball_query = operator("sparseops::ball_query", fake=_fake)(dispatched(_reference.ball_query))
