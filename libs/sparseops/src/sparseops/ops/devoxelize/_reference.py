"""Corners of points among sorted sites in plain PyTorch, any device. This file decides what is right."""

import torch
from torch import Tensor


def trilinear_corners(
    points_bzyx: Tensor, keys: Tensor, order: Tensor, shape_bzyx: list[int]
) -> tuple[Tensor, Tensor]:
    """Return rows [N, 8] (-1: none) and weights [N, 8] (0 there) of the corners, z fastest.

    `keys` are the ascending keys of the sites, `order` their rows.
    """
    corner = torch.arange(8, device=points_bzyx.device)
    offsets_zyx = torch.stack([corner % 2, corner // 2 % 2, corner // 4], dim=1)
    low = points_bzyx[:, None, 1:].floor()
    to_low, to_high = points_bzyx[:, None, 1:] - low, (low + 1) - points_bzyx[:, None, 1:]
    z, y, x = torch.where(offsets_zyx == 1, to_low, to_high).unbind(2)

    sample = points_bzyx[:, None, :1].expand(-1, 8, 1)
    cells = torch.cat([sample, low + offsets_zyx], dim=2)
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
