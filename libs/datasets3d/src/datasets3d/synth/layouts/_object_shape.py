"""Complete surfaces of objects as point sets."""

import numpy as np
from jaxtyping import Float32

from datasets3d.synth.sensors.rays import RayCaster, sample_surface
from datasets3d.synth.world.mesh import Mesh, face_normals

_VIEWS = np.array(
    [
        *([1, 0, 0.3], [-1, 0, 0.3], [0, 1, 0.3], [0, -1, 0.3]),
        *([1, 1, 0.5], [1, -1, 0.5], [-1, 1, 0.5], [-1, -1, 0.5], [0, 0, 1]),
    ]
)


def object_shape(mesh: Mesh, *, count: int, seed: int) -> Float32[np.ndarray, "n 3"]:
    """Up to `count` points spread evenly over the outside of a mesh, in the mesh's own frame.

    Only what an observer around or above the object could see counts: no inner faces, no underbody. Glass
    counts too.
    """
    points, face = sample_surface(mesh.vertices, mesh.faces, count=3 * count, seed=seed)
    normals = face_normals(mesh.vertices, mesh.faces)[face]
    caster = RayCaster(mesh.vertices, mesh.faces)
    outside = np.zeros(len(points), dtype=bool)
    for view in _VIEWS / np.linalg.norm(_VIEWS, axis=1, keepdims=True):
        side = np.sign(normals @ view)[:, None]
        start = points + 1e-3 * side * normals
        outside |= ~caster.is_blocked(start, np.broadcast_to(view, start.shape))
    return points[outside][:count].astype(np.float32)
