"""Furthest point sampling in plain PyTorch, any device. This file decides what is right."""

import torch
from torch import Tensor


def furthest_point_sample(points: Tensor, count: int) -> Tensor:
    """Return the rows [B, count] of points [B, N, 3]."""
    chosen = torch.zeros(len(points), count, dtype=torch.int64, device=points.device)
    nearest = torch.full(points.shape[:2], torch.inf, dtype=points.dtype, device=points.device)
    for step in range(1, count):
        last = points.gather(1, chosen[:, step - 1, None, None].expand(-1, 1, 3))
        x, y, z = (points - last).unbind(-1)
        nearest = torch.minimum(nearest, (x * x + y * y) + z * z)
        chosen[:, step] = nearest.argmax(1)
    return chosen
