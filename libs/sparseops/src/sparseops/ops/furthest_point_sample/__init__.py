"""Points that lie far from each other, one after the other."""

from sparseops.ops.furthest_point_sample._api import furthest_point_sample

__all__ = ["furthest_point_sample"]
