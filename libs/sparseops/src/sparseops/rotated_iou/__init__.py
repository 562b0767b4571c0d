"""Overlap of rotated boxes."""

from sparseops.rotated_iou._api import iou_3d, iou_bev

__all__ = ["iou_3d", "iou_bev"]
