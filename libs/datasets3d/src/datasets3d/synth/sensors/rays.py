"""Ray casting through Embree."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

try:
    import trimesh
    import trimesh.sample
    from embreex.mesh_construction import TriangleMesh
    from embreex.rtcore_scene import EmbreeScene
except ImportError as error:
    raise ImportError(
        f"datasets3d.synth casts rays with trimesh and embreex; {error.name or error} cannot be imported; "
        "install them with: pip install 'fusion3d-datasets3d[synth]'"
    ) from error

SURFACE_OFFSET_M = 2e-3
"""Secondary rays start this far off the surface, so that they do not hit it again."""


@dataclass(frozen=True, slots=True)
class Hits:
    """First hits of n rays; rays that miss have `face` -1 and `range_m` infinity."""

    face: Int[np.ndarray, " n"]
    range_m: Float32[np.ndarray, " n"]
    """In units of the direction's length."""
    barycentric: Float32[np.ndarray, "n 2"]
    """Weights of the triangle's second and third corner."""


class RayCaster:
    """A static triangle soup that answers ray queries; a million triangles take about 0.5 s to build."""

    def __init__(self, vertices: Float[np.ndarray, "n 3"], faces: Int[np.ndarray, "m 3"]) -> None:
        if len(faces) == 0:
            raise ValueError("RayCaster: faces is empty; a scene needs at least one triangle")
        self._scene = EmbreeScene()
        self._mesh = TriangleMesh(
            self._scene,
            np.ascontiguousarray(vertices, dtype=np.float32),
            np.ascontiguousarray(faces, dtype=np.int32),
        )

    def first_hits(self, origins: Float[np.ndarray, "n 3"], directions: Float[np.ndarray, "n 3"]) -> Hits:
        """The nearest surface along each ray, at any distance."""
        out = self._scene.run(
            np.ascontiguousarray(origins, dtype=np.float32),
            np.ascontiguousarray(directions, dtype=np.float32),
            output=True,
        )
        face = out["primID"]
        missed = face < 0
        range_m = out["tfar"]
        range_m[missed] = np.inf
        return Hits(face, range_m, np.stack([out["u"], out["v"]], axis=1))

    def is_blocked(
        self, origins: Float[np.ndarray, "n 3"], directions: Float[np.ndarray, "n 3"], *, reach: float = 1e9
    ) -> Bool[np.ndarray, " n"]:
        """Whether each ray hits anything within `reach` lengths of its direction."""
        hit = self._scene.run(
            np.ascontiguousarray(origins, dtype=np.float32),
            np.ascontiguousarray(directions, dtype=np.float32),
            np.full(len(origins), reach, dtype=np.float32),
            query="OCCLUDED",
        )
        return hit >= 0


def sample_surface(
    vertices: Float[np.ndarray, "n 3"], faces: Int[np.ndarray, "m 3"], *, count: int, seed: int
) -> tuple[Float[np.ndarray, "k 3"], Int[np.ndarray, " k"]]:
    """Points spread evenly by area, with the face each lies on."""
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    sampled = trimesh.sample.sample_surface(mesh, count, seed=seed)
    return np.asarray(sampled[0]), np.asarray(sampled[1])
