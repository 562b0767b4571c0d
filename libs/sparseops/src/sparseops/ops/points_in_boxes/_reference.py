"""Point in box in plain PyTorch, any device. This file decides what is right."""

import torch
from torch import Tensor


def box_frames(boxes: Tensor, margin: float) -> Tensor:
    """Return centre, half edges, cos, sin and reach of boxes [..., 7], for all back ends: [..., 9].

    The half length and half width include the margin. The reach is the squared radius of a circle around the
    sides with room for rounding, negative for a box that holds nothing: outside of it no test is needed.
    """
    size, yaw = boxes[..., 3:6], boxes[..., 6:]
    half = size / 2
    half[..., :2] += margin
    reach = (half[..., :2].clamp(min=0.0) * 1.001 + 1e-6).square().sum(-1, keepdim=True)
    reach = torch.where((size > 0).all(-1, keepdim=True), reach, -1.0)
    return torch.cat([boxes[..., :3], half, torch.cos(yaw), torch.sin(yaw), reach], dim=-1).contiguous()


def inside_reference(points: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
    """Test points [n, 3] against boxes [m, 9] of `box_frames`.

    Returns which points are inside [n, m], and the points in the axes of each box, from its centre [n, m, 3].
    """
    x, y, z = (points[:, None] - frames[:, :3]).unbind(-1)
    half_x, half_y, half_z, cos, sin, reach = frames[:, 3:].unbind(-1)
    along, across = x * cos + y * sin, y * cos - x * sin
    inside = (z.abs() <= half_z) & (along.abs() < half_x) & (across.abs() < half_y) & (reach > 0)
    return inside, torch.stack([along, across, z], dim=-1)


def points_in_boxes(points: Tensor, batch_index: Tensor, boxes: Tensor, margin: float) -> Tensor:
    """Return for points [n, 3] of samples [n] the lowest of boxes [B, M, 7] that holds each, or -1."""
    found = torch.full((len(points),), -1, dtype=torch.int64, device=points.device)
    for sample, frames in enumerate(box_frames(boxes, margin)):
        rows = (batch_index == sample).nonzero()[:, 0]
        inside, _ = inside_reference(points[rows], frames)
        # argmax gives the first of equal values.
        if len(frames):
            found[rows] = torch.where(inside.any(1), inside.int().argmax(1), -1)
    return found
