"""Rotated IoU on the CPU: the numba kernels of geom3d."""

import torch
from geom3d import overlap
from torch import Tensor


def iou_bev_cpu(boxes_a: Tensor, boxes_b: Tensor) -> Tensor:
    """Same results as `iou_bev_reference` up to rounding in float64."""
    return torch.from_numpy(overlap.iou_bev(boxes_a.double().numpy(), boxes_b.double().numpy()))


def iou_3d_cpu(boxes_a: Tensor, boxes_b: Tensor) -> Tensor:
    """Same results as `iou_3d_reference` up to rounding in float64."""
    return torch.from_numpy(overlap.iou_3d(boxes_a.double().numpy(), boxes_b.double().numpy()))
