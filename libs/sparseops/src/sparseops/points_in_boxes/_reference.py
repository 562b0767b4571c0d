"""Point in box in plain PyTorch, any device. This file decides what is right."""

import torch
from torch import Tensor


def points_in_boxes_reference(points: Tensor, batch_index: Tensor, boxes: Tensor, margin: float) -> Tensor:
    """Return for points [n, 3] of samples [n] the lowest of boxes [B, M, 7] that holds each, or -1."""
    found = torch.full((len(points),), -1, dtype=torch.int64, device=points.device)
    for sample, sample_boxes in enumerate(boxes):
        rows = (batch_index == sample).nonzero()[:, 0]
        x, y, z = (points[rows, None] - sample_boxes[None, :, :3]).unbind(-1)
        dx, dy, dz, yaw = sample_boxes[:, 3:].unbind(-1)
        cos, sin = torch.cos(yaw), torch.sin(yaw)
        inside = (
            (z.abs() <= dz / 2)
            & ((x * cos + y * sin).abs() < dx / 2 + margin)
            & ((y * cos - x * sin).abs() < dy / 2 + margin)
            & (dx > 0)
            & (dy > 0)
            & (dz > 0)
        )
        # argmax gives the first of equal values.
        if len(sample_boxes):
            found[rows] = torch.where(inside.any(1), inside.int().argmax(1), -1)
    return found
