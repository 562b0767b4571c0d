"""Points that lie far from each other, one after the other."""

from ._api import furthest_point_sample

__all__ = ["furthest_point_sample"]
