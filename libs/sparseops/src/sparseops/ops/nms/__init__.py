"""Non-maximum suppression of boxes: rotated and axis-aligned, seen from above and in space."""

from sparseops.ops.nms._api import nms_3d, nms_aligned_3d, nms_aligned_bev, nms_bev

__all__ = ["nms_3d", "nms_aligned_3d", "nms_aligned_bev", "nms_bev"]
