"""Ray casting in a world of which little moves: what stands is prepared once, what moves for every moment."""

import numpy as np
from jaxtyping import Bool, Float

from datasets3d.synth._rays import Hits, RayCaster
from datasets3d.synth.scene import Scene


class MovingCaster(RayCaster):
    """A caster for a scene whose first `standing_faces` faces are those of `standing`.

    Answers as a caster of the whole mesh does; of two surfaces at the same range it may name the other.
    """

    def __init__(self, standing: RayCaster, standing_faces: int, scene: Scene) -> None:
        self._standing, self._offset = standing, standing_faces
        faces = scene.mesh.faces[standing_faces:]
        self._moving = RayCaster(*_own_vertices(scene.mesh.vertices, faces)) if len(faces) else None

    def first_hits(self, origins: Float[np.ndarray, "n 3"], directions: Float[np.ndarray, "n 3"]) -> Hits:
        """The nearest surface along each ray, at any distance."""
        hits = self._standing.first_hits(origins, directions)
        if self._moving is None:
            return hits
        other = self._moving.first_hits(origins, directions)
        nearer = other.range_m < hits.range_m
        return Hits(
            np.where(nearer, other.face + self._offset, hits.face),
            np.where(nearer, other.range_m, hits.range_m),
            np.where(nearer[:, None], other.barycentric, hits.barycentric),
        )

    def is_blocked(
        self, origins: Float[np.ndarray, "n 3"], directions: Float[np.ndarray, "n 3"], *, reach: float = 1e9
    ) -> Bool[np.ndarray, " n"]:
        """Whether each ray hits anything within `reach` lengths of its direction."""
        blocked = self._standing.is_blocked(origins, directions, reach=reach)
        if self._moving is not None:
            blocked |= self._moving.is_blocked(origins, directions, reach=reach)
        return blocked


def _own_vertices(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Leave out the vertices before the first that the faces use: Embree copies all it is given."""
    first = int(faces.min())
    return vertices[first:], faces - first
