"""Which box holds a point."""

from ._api import points_in_boxes, points_in_boxes_batch

__all__ = ["points_in_boxes", "points_in_boxes_batch"]
