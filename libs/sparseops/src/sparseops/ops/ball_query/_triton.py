"""Ball query on the GPU: brute force in index order, each block of centres until all its lists are full."""

from typing import Any, no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

_CENTRES = 8
_POINTS = 128


@triton.jit
@no_type_check
def _query(  # noqa: PLR0913 - plain arrays are what a kernel takes
    centres, starts, stops, points, idx, empty, m, samples, limit, CENTRES: tl.constexpr, POINTS: tl.constexpr
):
    q = tl.program_id(0).to(tl.int64) * CENTRES + tl.arange(0, CENTRES)
    present = q < m
    first = tl.load(starts + q, mask=present, other=2**62)
    last = tl.load(stops + q, mask=present, other=0)
    cx = tl.load(centres + q * 3, mask=present, other=0.0)[:, None]
    cy = tl.load(centres + q * 3 + 1, mask=present, other=0.0)[:, None]
    cz = tl.load(centres + q * 3 + 2, mask=present, other=0.0)[:, None]
    found = tl.zeros((CENTRES,), tl.int32)
    head = tl.full((CENTRES,), 2**62, tl.int64)
    start, stop = tl.min(first, 0), tl.max(last, 0)
    while start < stop:
        row = start + tl.arange(0, POINTS)
        inside = row < stop
        dx = tl.load(points + row * 3, mask=inside, other=0.0)[None, :] - cx
        dy = tl.load(points + row * 3 + 1, mask=inside, other=0.0)[None, :] - cy
        dz = tl.load(points + row * 3 + 2, mask=inside, other=0.0)[None, :] - cz
        same_sample = (row[None, :] >= first[:, None]) & (row[None, :] < last[:, None])
        hit = same_sample & ((dx * dx + dy * dy) + dz * dz < limit)
        rank = found[:, None] + tl.cumsum(hit.to(tl.int32), 1)
        within = row[None, :] - first[:, None]
        tl.store(idx + q[:, None] * samples + rank - 1, within, mask=hit & (rank <= samples))
        head = tl.minimum(head, tl.min(tl.where(hit, within, 2**62), 1))
        found += tl.sum(hit.to(tl.int32), 1)
        full = (found >= samples) | (q >= m)
        start = tl.where(tl.min(full.to(tl.int32), 0) == 1, stop, start + POINTS)
    head = tl.where(found == 0, 0, head)
    for s in range(0, samples):
        tl.store(idx + q * samples + s, head, mask=present & (found <= s))
    tl.store(empty + q, found == 0, mask=present)


def ball_query(
    centres: Tensor, centre_starts: Tensor, points: Tensor, point_starts: Tensor, radius: float, samples: int
) -> tuple[Tensor, Tensor]:
    """Same results as the reference, bit for bit."""
    m, device = len(centres), centres.device
    idx = torch.empty(m, samples, dtype=torch.int64, device=device)
    empty = torch.empty(m, dtype=torch.bool, device=device)
    if m:
        # Counts that do not add up (not checked on CUDA) must not lead outside of the points.
        bounds = point_starts.clamp(0, len(points))
        sample = torch.searchsorted(
            centre_starts[1:].contiguous(), torch.arange(m, device=device), right=True
        )
        sample = sample.clamp(max=len(bounds) - 2)
        radius_32 = torch.tensor(radius, dtype=torch.float32)
        # Fused multiply-adds would round differently from the reference and move points over the limit.
        options: dict[str, Any] = {"CENTRES": _CENTRES, "POINTS": _POINTS, "enable_fp_fusion": False}
        with torch.cuda.device_of(points):
            _query[(-(-m // _CENTRES),)](
                centres.contiguous(),
                bounds[sample],
                bounds[sample + 1],
                points.contiguous(),
                idx,
                empty,
                m,
                samples,
                float(radius_32 * radius_32),
                **options,
            )
    return idx, empty
