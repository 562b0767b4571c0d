"""The distance of every point to the nearest point of another set, both ways."""

from sparseops.ops.chamfer._api import ChamferDistance, chamfer_distance

__all__ = ["ChamferDistance", "chamfer_distance"]
