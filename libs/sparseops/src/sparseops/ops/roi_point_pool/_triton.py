"""First points in boxes on the GPU: a program walks the cloud for one box until it has enough."""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

from sparseops.ops.points_in_boxes._triton import inside_box

_POINTS = 512


@triton.jit
@no_type_check
def _first_inside_kernel(points, frames, rows, count, n, m, samples, POINTS: tl.constexpr):
    box = tl.program_id(0).to(tl.int64)
    points += (box // m) * n * 3
    rows += box * samples
    total = 0
    first = 0
    while (first < n) & (total < samples):
        i = first + tl.arange(0, POINTS)
        x = tl.load(points + 3 * i, mask=i < n, other=0.0)
        y = tl.load(points + 3 * i + 1, mask=i < n, other=0.0)
        z = tl.load(points + 3 * i + 2, mask=i < n, other=0.0)
        inside, _, _, _ = inside_box(x, y, z, frames + box * 9 + i * 0, i < n)
        place = total + tl.cumsum(inside.to(tl.int32), 0) - 1
        tl.store(rows + place, i.to(tl.int64), mask=inside & (place < samples))
        total += tl.sum(inside.to(tl.int32), 0)
        first += POINTS
    tl.store(count + box, tl.minimum(total, samples).to(tl.int64))


def first_inside(points: Tensor, frames: Tensor, samples: int) -> tuple[Tensor, Tensor]:
    """Same results as the reference, bit for bit."""
    b, m, _ = frames.shape
    rows = torch.zeros(b, m, samples, dtype=torch.int64, device=points.device)
    count = torch.zeros(b, m, dtype=torch.int64, device=points.device)
    if b * m:
        with torch.cuda.device_of(points):
            _first_inside_kernel[(b * m,)](
                points.contiguous(), frames, rows, count, points.shape[1], m, samples, POINTS=_POINTS,
                # Products and sums are rounded one by one, as in the other back ends: faces decide alike.
                enable_fp_fusion=False,  # pyright: ignore[reportCallIssue] an option of the launch
            )  # fmt: skip
    return rows, count
