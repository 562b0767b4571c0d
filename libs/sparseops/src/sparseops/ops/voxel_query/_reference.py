"""Voxel query in plain PyTorch, any device. This file decides what is right."""

import torch
from torch import Tensor

_QUERIES_AT_ONCE = 4096


def voxel_query(
    centre_coords_bzyx: Tensor,
    centres_xyz: Tensor,
    sparse_coords_bzyx: Tensor,
    voxel_xyz: Tensor,
    ranges: list[int],
    radius: float,
    samples: int,
) -> tuple[Tensor, Tensor]:
    """Return the rows of the first `samples` sites within reach [M, S] and whether there was none [M]."""
    idx = torch.zeros(len(centres_xyz), samples, dtype=torch.int64, device=centres_xyz.device)
    empty = torch.ones(len(centres_xyz), dtype=torch.bool, device=centres_xyz.device)
    if not len(sparse_coords_bzyx):
        return idx, empty
    sites, centres = sparse_coords_bzyx.long(), centre_coords_bzyx.long()
    # One key per site, with a border of `ranges` around the box of all sites so that keys never collide.
    reach = torch.tensor([0, *ranges], device=sites.device)
    low = sites.amin(0) - reach
    extent = sites.amax(0) + reach - low + 1
    stride = extent.flip(0).cumprod(0).flip(0) // extent
    keys, row_of_key = torch.sort(((sites - low) * stride).sum(1), stable=True)

    steps = [torch.arange(-r, r + 1, device=sites.device) for r in (0, *ranges)]
    offsets = torch.cartesian_prod(*steps)
    limit = torch.tensor(radius, dtype=centres_xyz.dtype, device=sites.device) ** 2
    for start in range(0, len(centres), _QUERIES_AT_ONCE):
        part = slice(start, start + _QUERIES_AT_ONCE)
        cells = centres[part, None] + offsets
        wanted = ((cells - low) * stride).sum(-1)
        place = torch.searchsorted(keys, wanted).clamp(max=len(keys) - 1)
        hit = (keys[place] == wanted) & ((cells >= low) & (cells < low + extent)).all(-1)
        row = row_of_key[place]
        step = voxel_xyz[row] - centres_xyz[part, None]
        hit &= (step[..., 0] ** 2 + step[..., 1] ** 2) + step[..., 2] ** 2 <= limit
        # First `samples` hits in scan order; the stable sort moves the hits to the front.
        front = torch.argsort((~hit).byte(), dim=1, stable=True)[:, :samples]
        found, row = hit.gather(1, front), row.gather(1, front)
        row = torch.where(found, row, row[:, :1])
        row[~found[:, 0]] = 0
        idx[part] = row[:, :1]
        idx[part, : row.shape[1]] = row
        empty[part] = ~found[:, 0]
    return idx, empty
