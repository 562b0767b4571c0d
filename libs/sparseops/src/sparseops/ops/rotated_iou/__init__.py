"""Overlap of boxes: rotated and axis-aligned, seen from above and in space."""

from sparseops.ops.rotated_iou._api import (
    giou_3d,
    iou_3d,
    iou_aligned_3d,
    iou_aligned_bev,
    iou_bev,
    paired_giou_3d,
    paired_iou_3d,
    paired_iou_aligned_3d,
    paired_iou_bev,
)

__all__ = [
    "giou_3d",
    "iou_3d",
    "iou_aligned_3d",
    "iou_aligned_bev",
    "iou_bev",
    "paired_giou_3d",
    "paired_iou_3d",
    "paired_iou_aligned_3d",
    "paired_iou_bev",
]
