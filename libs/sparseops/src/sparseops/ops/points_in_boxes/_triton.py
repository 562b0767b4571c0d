"""Point in box on the GPU: a program walks the boxes for a block of points."""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

from sparseops.ops.points_in_boxes._reference import box_frames

_POINTS = 128


@triton.jit
@no_type_check
def inside_box(x, y, z, frame, valid):
    """Test points against the boxes (of `box_frames`) at `frame`; also return them in the axes of the box."""
    x -= tl.load(frame, mask=valid, other=0.0)
    y -= tl.load(frame + 1, mask=valid, other=0.0)
    z -= tl.load(frame + 2, mask=valid, other=0.0)
    cos, sin = tl.load(frame + 6, mask=valid, other=1.0), tl.load(frame + 7, mask=valid, other=0.0)
    along, across = x * cos + y * sin, y * cos - x * sin
    inside = valid & (tl.abs(z) <= tl.load(frame + 5, mask=valid, other=0.0))
    inside &= tl.abs(along) < tl.load(frame + 3, mask=valid, other=0.0)
    inside &= tl.abs(across) < tl.load(frame + 4, mask=valid, other=0.0)
    inside &= tl.load(frame + 8, mask=valid, other=-1.0) > 0
    return inside, along, across, z


@triton.jit
@no_type_check
def _first_box_kernel(points, batch_index, frames, found, n, samples, m, POINTS: tl.constexpr):
    i = tl.program_id(0).to(tl.int64) * POINTS + tl.arange(0, POINTS)
    sample = tl.load(batch_index + i, mask=i < n, other=-1)
    valid = (sample >= 0) & (sample < samples)
    x = tl.load(points + 3 * i, mask=i < n, other=0.0)
    y = tl.load(points + 3 * i + 1, mask=i < n, other=0.0)
    z = tl.load(points + 3 * i + 2, mask=i < n, other=0.0)
    first = tl.full([POINTS], -1, tl.int64)
    for j in range(m):
        inside, _, _, _ = inside_box(x, y, z, frames + (sample * m + j) * 9, valid)
        first = tl.where(inside & (first < 0), j, first)
    tl.store(found + i, first, mask=i < n)


def points_in_boxes(points: Tensor, batch_index: Tensor, boxes: Tensor, margin: float) -> Tensor:
    """Same results as the reference, bit for bit."""
    found = torch.empty(len(points), dtype=torch.int64, device=points.device)
    if len(points):
        samples, m, _ = boxes.shape
        frames = box_frames(boxes, margin)
        grid = (triton.cdiv(len(points), _POINTS),)
        tables = points.contiguous(), batch_index.contiguous(), frames
        with torch.cuda.device_of(points):
            _first_box_kernel[grid](
                *tables, found, len(points), samples, m, POINTS=_POINTS,
                # Products and sums are rounded one by one, as in the other back ends: faces decide alike.
                enable_fp_fusion=False,  # pyright: ignore[reportCallIssue] an option of the launch
            )  # fmt: skip
    return found
