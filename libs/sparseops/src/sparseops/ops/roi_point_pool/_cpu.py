"""First points in boxes on the CPU: a thread owns boxes and looks only at points near them in x."""

from typing import no_type_check

import torch
from torch import Tensor

from sparseops._backend import sync_threads
from sparseops._numba import njit, prange
from sparseops.ops.points_in_boxes._cpu import rows_inside, sorted_by_x


@njit(cache=True, parallel=True)
@no_type_check
def _first_inside(points, by_x, sorted_x, frames, rows, count):
    samples = rows.shape[1]
    for j in prange(frames.shape[0]):
        inside = rows_inside(points, by_x, sorted_x, frames[j])
        count[j] = min(len(inside), samples)
        rows[j, : count[j]] = inside[: count[j]]
        rows[j, count[j] :] = 0


def first_inside(points: Tensor, frames: Tensor, samples: int) -> tuple[Tensor, Tensor]:
    """Same results as the reference, bit for bit."""
    rows = torch.empty(*frames.shape[:2], samples, dtype=torch.int64)
    count = torch.empty(frames.shape[:2], dtype=torch.int64)
    sync_threads()
    for b, cloud in enumerate(points.contiguous()):
        _first_inside(
            cloud.numpy(), *sorted_by_x(cloud), frames[b].numpy(), rows[b].numpy(), count[b].numpy()
        )
    return rows, count
