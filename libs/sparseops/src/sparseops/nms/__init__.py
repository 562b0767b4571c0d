"""Non-maximum suppression of rotated boxes seen from above."""

from sparseops.nms._api import nms_bev

__all__ = ["nms_bev"]
