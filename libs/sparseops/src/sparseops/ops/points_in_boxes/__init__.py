"""Which box holds a point."""

from sparseops.ops.points_in_boxes._api import points_in_boxes, points_in_boxes_batch

__all__ = ["points_in_boxes", "points_in_boxes_batch"]
