"""Furthest point sampling on the GPU: one program per cloud, which keeps the nearest distances in memory.

Steps are the time that counts: each reads the whole cloud once from the cache, then reduces to one row.
"""

from typing import Any, no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

_MOST_POINTS = 2048


@triton.jit
@no_type_check
def _sample(xyz, distances, chosen, n, count, POINTS: tl.constexpr):
    b = tl.program_id(0).to(tl.int64)
    x, y, z, nearest = xyz + b * 3 * n, xyz + (b * 3 + 1) * n, xyz + (b * 3 + 2) * n, distances + b * n
    lane = tl.arange(0, POINTS)
    last = b * 0
    tl.store(chosen + b * count, last)
    for step in range(1, count):
        px, py, pz = tl.load(x + last), tl.load(y + last), tl.load(z + last)
        best = tl.full((POINTS,), -1.0, tl.float32)
        best_row = tl.zeros((POINTS,), tl.int32)
        for start in range(0, n, POINTS):
            row = start + lane
            present = row < n
            dx = tl.load(x + row, mask=present, other=0.0) - px
            dy = tl.load(y + row, mask=present, other=0.0) - py
            dz = tl.load(z + row, mask=present, other=0.0) - pz
            before = tl.load(nearest + row, mask=present, other=-1.0)
            distance = tl.minimum(before, (dx * dx + dy * dy) + dz * dz)
            tl.store(nearest + row, distance, mask=present)
            # Rows ascend, so an equal distance later on does not win.
            better = distance > best
            best = tl.where(better, distance, best)
            best_row = tl.where(better, row, best_row)
        furthest = tl.max(best, 0)
        last = tl.min(tl.where(best == furthest, best_row, n), 0).to(tl.int64)
        tl.store(chosen + b * count + step, last)
        tl.debug_barrier()


def furthest_point_sample(points: Tensor, count: int) -> Tensor:
    """Same results as the reference, bit for bit."""
    b, n = points.shape[:2]
    chosen = torch.empty(b, count, dtype=torch.int64, device=points.device)
    if b:
        nearest = torch.full((b, n), torch.inf, dtype=points.dtype, device=points.device)
        block = min(_MOST_POINTS, 1 << (n - 1).bit_length())
        xyz = points.transpose(1, 2).contiguous()
        # Fused multiply-adds would round differently from the reference and break ties at random.
        options: dict[str, Any] = {"num_warps": max(1, block // 128), "enable_fp_fusion": False}
        with torch.cuda.device_of(points):
            _sample[(b,)](xyz, nearest, chosen, n, count, POINTS=block, **options)
    return chosen
