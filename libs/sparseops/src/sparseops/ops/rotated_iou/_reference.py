"""Exact overlap of boxes in plain PyTorch, any device. This file decides what is right."""

import torch
from torch import Tensor


def seen_from_above(boxes: Tensor) -> Tensor:
    """Return boxes [..., 7] with z = 0 and dz = 1: their IoU in space is the IoU seen from above."""
    z, dz = torch.zeros_like(boxes[..., :1]), torch.ones_like(boxes[..., :1])
    return torch.cat([boxes[..., :2], z, boxes[..., 3:5], dz, boxes[..., 6:]], dim=-1)


def finite_in_float64(boxes: Tensor) -> Tensor:
    """Return boxes [..., 7] in float64; a box with NaN or infinity becomes one without volume."""
    boxes = boxes.double()
    return torch.where(boxes.isfinite().all(-1, keepdim=True), boxes, 0.0)


def intersection_bev_reference(boxes_a: Tensor, boxes_b: Tensor) -> Tensor:
    """Return the areas common to broadcast float64 boxes [..., 7], by Green's theorem.

    In the frame of a, the area is the contour integral of clamp(x) dy along the outline of b, cut to the
    range of y of a: there is no list of vertices that rounding could corrupt.
    """
    a, b = torch.broadcast_tensors(boxes_a, boxes_b)
    half = a[..., 3:5].clamp(min=0) / 2
    turn = b[..., 6] - a[..., 6]
    centre = rotated(b[..., :2] - a[..., :2], -a[..., 6])
    signs = centre.new_tensor([[1, 1], [-1, 1], [-1, -1], [1, -1]])
    edge_half = b[..., None, 3:5].clamp(min=0) / 2 * signs
    corners = centre[..., None, :] + rotated(edge_half, turn[..., None])
    x0, y0 = corners.unbind(-1)
    x1, y1 = corners.roll(-1, dims=-2).unbind(-1)
    hx, hy = half[..., None, 0], half[..., None, 1]

    from_y, to_y = y0.clamp(-hy, hy), y1.clamp(-hy, hy)
    rise = torch.where(y1 == y0, 1.0, y1 - y0)
    from_x = torch.where(from_y == y0, x0, x0 + (x1 - x0) * ((from_y - y0) / rise))
    to_x = torch.where(to_y == y1, x1, x0 + (x1 - x0) * ((to_y - y0) / rise))
    low, high = torch.minimum(from_x, to_x), torch.maximum(from_x, to_x)
    inner_low, inner_high = low.clamp(-hx, hx), high.clamp(-hx, hx)
    # Shares of the segment left of, inside and right of a; a vertical segment has no width to share.
    left = torch.minimum(high, -hx) - torch.minimum(low, -hx)
    right = torch.maximum(high, hx) - torch.maximum(low, hx)
    inner = 0.5 * (inner_low + inner_high) * (inner_high - inner_low)
    mean = torch.where(high > low, (inner + hx * (right - left)) / (high - low), inner_low)
    origin = centre[..., None, 0].clamp(-hx, hx)
    area = ((mean - origin) * (to_y - from_y)).sum(-1)
    smaller = torch.minimum(a[..., 3:5].clamp(min=0).prod(-1), b[..., 3:5].clamp(min=0).prod(-1))
    return torch.minimum(area.clamp(min=0), smaller)


def iou(boxes_a: Tensor, boxes_b: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the IoU in space of every pair of float64 boxes [n, 7] and [m, 7]: [n, m]."""
    return iou_reference(boxes_a[:, None], boxes_b).to(dtype)


def paired_iou(boxes_a: Tensor, boxes_b: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the IoU in space of row i with row i of float64 boxes [n, 7]: [n]."""
    return iou_reference(boxes_a, boxes_b).to(dtype)


def iou_reference(boxes_a: Tensor, boxes_b: Tensor) -> Tensor:
    """Return the IoU in space of broadcast float64 boxes [..., 7]; 0 for boxes without volume."""
    common = intersection_bev_reference(boxes_a, boxes_b) * _common_lengths(boxes_a, boxes_b)[..., 2]
    return _ratio(common, boxes_a, boxes_b)


def iou_aligned_reference(boxes_a: Tensor, boxes_b: Tensor) -> Tensor:
    """Return what `iou_reference` gives if every yaw is 0; differentiable."""
    return _ratio(_common_lengths(boxes_a, boxes_b).prod(-1), boxes_a, boxes_b)


def _common_lengths(boxes_a: Tensor, boxes_b: Tensor) -> Tensor:
    """Return the common lengths along x, y and z, yaw ignored, [..., 3]."""
    half_a, half_b = boxes_a[..., 3:6] / 2, boxes_b[..., 3:6] / 2
    # Only the difference of the centres enters, so that boxes far from the origin lose no digits.
    offset = boxes_b[..., :3] - boxes_a[..., :3]
    return (torch.minimum(half_a, offset + half_b) - torch.maximum(-half_a, offset - half_b)).clamp(min=0)


def _ratio(common: Tensor, boxes_a: Tensor, boxes_b: Tensor) -> Tensor:
    volume_a, volume_b = (boxes[..., 3:6].clamp(min=0).prod(-1) for boxes in (boxes_a, boxes_b))
    # Without a common part there may be no union to divide by, and no gradient.
    union = torch.where(common > 0, volume_a + volume_b - common, 1.0)
    return common / union


def rotated(xy: Tensor, yaw: Tensor) -> Tensor:
    """Return points [..., 2] turned counter-clockwise by `yaw` [...]."""
    x, y = xy.unbind(-1)
    cos, sin = torch.cos(yaw), torch.sin(yaw)
    return torch.stack([x * cos - y * sin, x * sin + y * cos], dim=-1)
