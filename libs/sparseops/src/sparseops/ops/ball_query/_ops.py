"""Registration of the ball query with PyTorch."""

from typing import Any

import torch
from torch import Tensor

from sparseops._operator import dispatched, operator
from sparseops._stacked import check_counts
from sparseops.ops.ball_query import _reference

_run = dispatched(_reference.ball_query)


def _fake(centres: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    m, samples = centres.shape[0], rest[-1]
    return centres.new_empty(m, samples, dtype=torch.int64), centres.new_empty(m, dtype=torch.bool)


@operator("sparseops::ball_query", fake=_fake)
def ball_query(
    centres: Tensor, centre_starts: Tensor, points: Tensor, point_starts: Tensor, radius: float, samples: int
) -> tuple[Tensor, Tensor]:
    """Rows of the first points of the same sample within the radius, and which balls are empty."""
    # On a GPU this would wait for all earlier kernels.
    if points.device.type == "cpu":
        check_counts("ball_query_stacked", "centre_counts", centre_starts.diff(), len(centres))
        check_counts("ball_query_stacked", "point_counts", point_starts.diff(), len(points))
    return _run(centres, centre_starts, points, point_starts, radius, samples)
