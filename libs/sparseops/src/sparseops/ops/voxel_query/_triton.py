"""Voxel query on the GPU: sites sorted by two keys; each line of cells is found by bisection, then walked."""

from typing import Any, no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

_CENTRES = 32


@triton.jit
@no_type_check
def _key(major, minor):
    """Order of pairs of 32-bit numbers as that of one 64-bit number."""
    return major * 2**32 + (minor + 2**31)


@triton.jit
@no_type_check
def _first_site(keys_bz, keys_yx, bz, yx, n, steps):
    """Position of the first site not below (bz, yx)."""
    low, high = bz * 0, bz * 0 + n
    for _ in range(steps):
        open_ = low < high
        middle = (low + high) // 2
        site_bz = tl.load(keys_bz + middle, mask=open_, other=0)
        site_yx = tl.load(keys_yx + middle, mask=open_, other=0)
        below = (site_bz < bz) | ((site_bz == bz) & (site_yx < yx))
        low = tl.where(open_ & below, middle + 1, low)
        high = tl.where(open_ & (below == 0), middle, high)
    return low


@triton.jit
@no_type_check
def _query(  # noqa: PLR0913 - plain arrays are what a kernel takes
    cells, centres, keys_bz, keys_yx, order, xyz, idx, empty, m, n, steps, rz, ry, rx, samples, limit,
    CENTRES: tl.constexpr,
):  # fmt: skip
    q = tl.program_id(0).to(tl.int64) * CENTRES + tl.arange(0, CENTRES)
    present = q < m
    b = tl.load(cells + q * 4, mask=present, other=0)
    z = tl.load(cells + q * 4 + 1, mask=present, other=0)
    y = tl.load(cells + q * 4 + 2, mask=present, other=0)
    x = tl.load(cells + q * 4 + 3, mask=present, other=0)
    cx = tl.load(centres + q * 3, mask=present, other=0.0)
    cy = tl.load(centres + q * 3 + 1, mask=present, other=0.0)
    cz = tl.load(centres + q * 3 + 2, mask=present, other=0.0)
    found = tl.zeros((CENTRES,), tl.int32)
    head = tl.zeros((CENTRES,), tl.int64)
    for dz in range(-rz, rz + 1):
        bz = _key(b, z + dz)
        for dy in range(-ry, ry + 1):
            first_yx, last_yx = _key(y + dy, x - rx), _key(y + dy, x + rx)
            at = _first_site(keys_bz, keys_yx, bz, first_yx, n, steps)
            before = first_yx - 1
            going = present & (found < samples)
            while tl.max(going.to(tl.int32), 0) > 0:
                site_bz = tl.load(keys_bz + at, mask=going & (at < n), other=0)
                site_yx = tl.load(keys_yx + at, mask=going & (at < n), other=0)
                going = going & (at < n) & (site_bz == bz) & (site_yx <= last_yx)
                dx = tl.load(xyz + at * 3, mask=going, other=0.0) - cx
                dy_ = tl.load(xyz + at * 3 + 1, mask=going, other=0.0) - cy
                dz_ = tl.load(xyz + at * 3 + 2, mask=going, other=0.0) - cz
                hit = going & (site_yx != before) & ((dx * dx + dy_ * dy_) + dz_ * dz_ <= limit)
                row = tl.load(order + at, mask=hit, other=0)
                tl.store(idx + q * samples + found, row, mask=hit)
                head = tl.where(hit & (found == 0), row, head)
                found += hit.to(tl.int32)
                going = going & (found < samples)
                before = site_yx
                at += 1
    for s in range(0, samples):
        tl.store(idx + q * samples + s, head, mask=present & (found <= s))
    tl.store(empty + q, found == 0, mask=present)


def voxel_query(
    centre_coords_bzyx: Tensor,
    centres_xyz: Tensor,
    sparse_coords_bzyx: Tensor,
    voxel_xyz: Tensor,
    ranges: list[int],
    radius: float,
    samples: int,
) -> tuple[Tensor, Tensor]:
    """Same results as the reference, bit for bit."""
    m, n, device = len(centres_xyz), len(voxel_xyz), centres_xyz.device
    idx = torch.empty(m, samples, dtype=torch.int64, device=device)
    empty = torch.empty(m, dtype=torch.bool, device=device)
    if m:
        b, z, y, x = sparse_coords_bzyx.long().unbind(1)
        keys_bz, keys_yx = b * 2**32 + (z + 2**31), y * 2**32 + (x + 2**31)
        order = torch.argsort(keys_yx, stable=True)
        order = order[torch.argsort(keys_bz[order], stable=True)]
        radius_32 = torch.tensor(radius, dtype=torch.float32)
        # Fused multiply-adds would round differently from the reference and move sites over the limit.
        options: dict[str, Any] = {"CENTRES": _CENTRES, "num_warps": 1, "enable_fp_fusion": False}
        reach_z, reach_y, reach_x = ranges
        with torch.cuda.device_of(centres_xyz):
            _query[(-(-m // _CENTRES),)](
                centre_coords_bzyx.long().contiguous(),
                centres_xyz.contiguous(),
                keys_bz[order],
                keys_yx[order],
                order,
                voxel_xyz[order],
                idx,
                empty,
                m,
                n,
                n.bit_length(),
                reach_z,
                reach_y,
                reach_x,
                samples,
                float(radius_32 * radius_32),
                **options,
            )
    return idx, empty
