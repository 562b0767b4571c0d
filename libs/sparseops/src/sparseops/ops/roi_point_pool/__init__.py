"""A fixed number of points and features from every region of interest."""

from sparseops.ops.roi_point_pool._api import roi_point_pool

__all__ = ["roi_point_pool"]
