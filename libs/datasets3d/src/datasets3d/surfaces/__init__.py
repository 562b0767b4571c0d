"""Complete surfaces of objects, the targets of models that generate points: read, placed, made from scans.

`datasets3d.surfaces.build` makes them; it is not imported here because it loads numba.
"""

from datasets3d.surfaces.object_shapes import SHAPES_FOLDER, ObjectShapes, add_dense_points

__all__ = ["SHAPES_FOLDER", "ObjectShapes", "add_dense_points"]
