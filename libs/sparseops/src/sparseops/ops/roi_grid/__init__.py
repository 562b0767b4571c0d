"""Grid points of regions of interest."""

from sparseops.ops.roi_grid._api import roi_grid

__all__ = ["roi_grid"]
