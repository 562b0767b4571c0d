"""Features of points pooled into a grid of cells inside every region of interest."""

from sparseops.ops.roi_aware_pool._api import roi_aware_pool

__all__ = ["roi_aware_pool"]
