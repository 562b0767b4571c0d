"""Overlap of rotated boxes."""

from ._api import iou_3d, iou_bev

__all__ = ["iou_3d", "iou_bev"]
