"""Houses: boxes with a facade texture in metres, flat or gabled roofs; front facing -y, feet at z = 0."""

import numpy as np
from jaxtyping import Float

from datasets3d.synth.world.materials import Material
from datasets3d.synth.world.mesh import Mesh, box, concatenate, make_mesh

_PLASTER = np.array(
    [
        [0.62, 0.58, 0.50], [0.70, 0.68, 0.62], [0.55, 0.45, 0.33], [0.60, 0.50, 0.40], [0.45, 0.44, 0.42],
        [0.62, 0.54, 0.35], [0.48, 0.26, 0.19], [0.36, 0.20, 0.15], [0.50, 0.54, 0.56], [0.66, 0.60, 0.58],
    ]
)  # fmt: skip
_TILES = np.array([[0.30, 0.11, 0.06], [0.24, 0.10, 0.07], [0.12, 0.10, 0.10], [0.35, 0.16, 0.09]])


def _gable(width: float, depth: float, base: float, rise: float, color: Float[np.ndarray, "3"]) -> Mesh:
    """A ridge roof along x with eaves, and its two gable walls."""
    w, d = width / 2 + 0.3, depth / 2 + 0.4
    low = base - 0.4 * rise / (depth / 2)
    vertices = np.array(
        [
            [-w, -d, low], [w, -d, low], [w, 0, base + rise], [-w, 0, base + rise],
            [-w, d, low], [w, d, low],
            [-width / 2, -depth / 2, base], [-width / 2, depth / 2, base], [-width / 2, 0, base + rise - 0.1],
            [width / 2, -depth / 2, base], [width / 2, depth / 2, base], [width / 2, 0, base + rise - 0.1],
        ]
    )  # fmt: skip
    faces = np.array([[0, 1, 2], [0, 2, 3], [3, 2, 5], [3, 5, 4], [6, 8, 7], [9, 10, 11]])
    material = np.array([Material.ROOF] * 4 + [Material.BRICK] * 2, dtype=np.uint8)
    colors = np.concatenate([np.repeat(color[None], 4, axis=0), np.full((2, 3), 0.5)])
    uv = vertices[faces][:, :, [0, 2]]
    return make_mesh(vertices, faces, material=material, color=colors, uv=uv)


def house(rng: np.random.Generator, *, width_m: float, depth_m: float, storeys: int, gabled: bool) -> Mesh:
    """A building whose front face lies in the plane y = 0 and whose body extends to +y."""
    height = 3.0 * storeys + rng.uniform(0.3, 1.0)
    color = _PLASTER[rng.integers(len(_PLASTER))] * rng.uniform(0.85, 1.1)
    # Walls go one metre into the ground, so that slopes never open a gap below them.
    body = box(
        (width_m, depth_m, height + 1.0),
        (0, depth_m / 2, (height - 1.0) / 2),
        material=Material.FACADE,
        color=color,
    )
    parts = [body]
    if gabled:
        tiles = _TILES[rng.integers(len(_TILES))] * rng.uniform(0.8, 1.2)
        roof = _gable(width_m, depth_m, height, rng.uniform(0.35, 0.55) * depth_m, tiles)
        roof.vertices[:, 1] += depth_m / 2
        parts.append(roof)
        if rng.random() < 0.7:
            x = rng.uniform(-0.3, 0.3) * width_m
            parts.append(
                box((0.6, 0.6, 1.6), (x, depth_m * 0.62, height + 0.42 * depth_m), material=Material.BRICK,
                    color=(0.35, 0.18, 0.13))
            )  # fmt: skip
    else:
        parts.append(
            box(
                (width_m + 0.3, depth_m, 0.35),
                (0, depth_m / 2 - 0.1, height + 0.1),
                material=Material.BRICK,
                color=0.8 * color,
            )
        )
    if rng.random() < 0.5:
        sill = rng.uniform(0.4, 1.0)
        parts.append(
            box(
                (width_m + 0.02, 0.1, sill),
                (0, 0.0, sill / 2),
                material=Material.BRICK,
                color=(0.3, 0.28, 0.27),
            )
        )
    return concatenate(parts)
