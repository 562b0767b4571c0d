"""Exact common area of rotated rectangles in plain PyTorch, any device, by Green's theorem."""

import torch
from torch import Tensor


def intersection_bev_reference(boxes_a: Tensor, boxes_b: Tensor) -> Tensor:
    """Return the common areas of broadcast boxes [..., 7], computed in float64.

    In the frame of a, the area is the contour integral of clamp(x) dy along the outline of b, cut to the
    range of y of a: there is no list of vertices that rounding could corrupt.
    """
    a, b = torch.broadcast_tensors(boxes_a.double(), boxes_b.double())
    half = a[..., 3:5].clamp(min=0) / 2
    turn = b[..., 6] - a[..., 6]
    centre = _rotated(b[..., :2] - a[..., :2], -a[..., 6])
    signs = centre.new_tensor([[1, 1], [-1, 1], [-1, -1], [1, -1]])
    edge_half = b[..., None, 3:5].clamp(min=0) / 2 * signs
    corners = centre[..., None, :] + _rotated(edge_half, turn[..., None])
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


def iou_bev_reference(boxes_a: Tensor, boxes_b: Tensor) -> Tensor:
    """Return the IoU seen from above of broadcast boxes [..., 7], float64; 0 for boxes without area."""
    common = intersection_bev_reference(boxes_a, boxes_b)
    area_a, area_b = (boxes[..., 3:5].double().clamp(min=0).prod(-1) for boxes in (boxes_a, boxes_b))
    union = area_a + area_b - common
    return torch.where(union > 0, common / union, 0.0)


def iou_3d_reference(boxes_a: Tensor, boxes_b: Tensor) -> Tensor:
    """Return the IoU in space of broadcast boxes [..., 7], float64; 0 for boxes without volume."""
    (za, ha), (zb, hb) = (
        (b[..., 2].double(), b[..., 5].double().clamp(min=0) / 2) for b in (boxes_a, boxes_b)
    )
    height = (torch.minimum(za + ha, zb + hb) - torch.maximum(za - ha, zb - hb)).clamp(min=0)
    common = intersection_bev_reference(boxes_a, boxes_b) * height
    volume_a, volume_b = (boxes[..., 3:6].double().clamp(min=0).prod(-1) for boxes in (boxes_a, boxes_b))
    union = volume_a + volume_b - common
    return torch.where(union > 0, common / union, 0.0)


def _rotated(xy: Tensor, yaw: Tensor) -> Tensor:
    x, y = xy.unbind(-1)
    cos, sin = torch.cos(yaw), torch.sin(yaw)
    return torch.stack([x * cos - y * sin, x * sin + y * cos], dim=-1)
