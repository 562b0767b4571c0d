"""Ray casting in a world of which little moves: what stands is prepared once, what moves for every moment."""

import numpy as np
from jaxtyping import Bool, Float, Int

from datasets3d.synth.sensors.rays import Hits, RayCaster
from datasets3d.synth.world.scene import Scene


class SplitScene:
    """Which faces of a drive's scenes stand still and which move; their order is the same at any time."""

    def __init__(self, scene: Scene, actor_moves: Bool[np.ndarray, " k"]) -> None:
        moves = np.concatenate([[False], actor_moves])[scene.face_instance]
        self.standing_faces, self.moving_faces = np.flatnonzero(~moves), np.flatnonzero(moves)
        vertices, faces = _own_vertices(scene.mesh.faces[self.standing_faces])
        self.standing = RayCaster(scene.mesh.vertices[vertices], faces)
        self._moving_vertices, self._faces = _own_vertices(scene.mesh.faces[self.moving_faces])

    def moving(self, scene: Scene) -> RayCaster | None:
        """What moves, where it is in the scene of another time; None if nothing does."""
        if len(self._faces) == 0:
            return None
        return RayCaster(scene.mesh.vertices[self._moving_vertices], self._faces)


class MovingCaster(RayCaster):
    """A caster for the scene of one time.

    Answers as a caster of the whole mesh does; of two surfaces at the same range it may name the other.
    """

    def __init__(self, split: SplitScene, scene: Scene) -> None:
        self._split, self._moving = split, split.moving(scene)

    def first_hits(self, origins: Float[np.ndarray, "n 3"], directions: Float[np.ndarray, "n 3"]) -> Hits:
        """The nearest surface along each ray, at any distance."""
        split = self._split
        hits = split.standing.first_hits(origins, directions)
        face = _scene_faces(hits.face, split.standing_faces)
        if self._moving is None:
            return Hits(face, hits.range_m, hits.barycentric)
        other = self._moving.first_hits(origins, directions)
        nearer = other.range_m < hits.range_m
        return Hits(
            np.where(nearer, _scene_faces(other.face, split.moving_faces), face),
            np.where(nearer, other.range_m, hits.range_m),
            np.where(nearer[:, None], other.barycentric, hits.barycentric),
        )

    def is_blocked(
        self, origins: Float[np.ndarray, "n 3"], directions: Float[np.ndarray, "n 3"], *, reach: float = 1e9
    ) -> Bool[np.ndarray, " n"]:
        """Whether each ray hits anything within `reach` lengths of its direction."""
        blocked = self._split.standing.is_blocked(origins, directions, reach=reach)
        if self._moving is not None:
            blocked |= self._moving.is_blocked(origins, directions, reach=reach)
        return blocked


def _scene_faces(face: Int[np.ndarray, " n"], of_scene: Int[np.ndarray, " m"]) -> Int[np.ndarray, " n"]:
    """Number faces as the scene does; -1 stays -1."""
    return np.where(face < 0, -1, of_scene[face])


def _own_vertices(faces: Int[np.ndarray, "m 3"]) -> tuple[np.ndarray, Int[np.ndarray, "m 3"]]:
    """The vertices that the faces use, and the faces numbered by them."""
    vertices, numbered = np.unique(faces, return_inverse=True)
    return vertices, numbered.reshape(faces.shape).astype(np.int32)
