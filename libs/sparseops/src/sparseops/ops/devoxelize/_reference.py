"""Corners of points among sorted sites in plain PyTorch, any device. This file decides what is right."""

import torch
from torch import Tensor


def corner_shares(points_zyx: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the corners [N, 8, 3], their offsets [8, 3] and shares [N, 8, 3] along z, y, x."""
    corner = torch.arange(8, device=points_zyx.device)
    offsets_zyx = torch.stack([corner % 2, corner // 2 % 2, corner // 4], dim=1)
    low = points_zyx[:, None].floor()
    to_low, to_high = points_zyx[:, None] - low, (low + 1) - points_zyx[:, None]
    return low + offsets_zyx, offsets_zyx, torch.where(offsets_zyx == 1, to_low, to_high)


def trilinear_corners(
    points_bzyx: Tensor, keys: Tensor, order: Tensor, shape_bzyx: list[int]
) -> tuple[Tensor, Tensor]:
    """Return rows [N, 8] (-1: none) and weights [N, 8] (0 there) of the corners, z fastest.

    `keys` are the ascending keys of the sites, `order` their rows.
    """
    corners_zyx, _, shares = corner_shares(points_bzyx[:, 1:])
    z, y, x = shares.unbind(2)
    cells = torch.cat([points_bzyx[:, None, :1].expand(-1, 8, 1), corners_zyx], dim=2)
    # Compared as floats, so that NaN and infinite coordinates are outside.
    inside = ((cells >= 0) & (cells < cells.new_tensor(shape_bzyx))).all(2)
    b, *zyx = torch.where(inside[..., None], cells, 0.0).long().unbind(2)
    wanted = b
    for cell, size in zip(zyx, shape_bzyx[1:], strict=True):
        wanted = wanted * size + cell
    # An extra key stands behind the last site.
    place = torch.searchsorted(keys, wanted.contiguous())
    found = inside & (torch.cat([keys, keys.new_full((1,), -1)])[place] == wanted)
    rows = torch.cat([order, order.new_zeros(1)])[place]
    return torch.where(found, rows, -1), torch.where(found, (x * y) * z, 0.0)
