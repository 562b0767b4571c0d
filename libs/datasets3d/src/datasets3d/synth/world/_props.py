"""Street furniture and vegetation, with feet at z = 0."""

import numpy as np
from jaxtyping import Float

from datasets3d.synth.world._people import bicycle
from datasets3d.synth.world.materials import Material
from datasets3d.synth.world.mesh import Mesh, box, concatenate, ellipsoid, make_mesh, place, quads, tube


def leaf_cards(
    centres: Float[np.ndarray, "n 3"],
    *,
    size_m: float,
    color: Float[np.ndarray, "3"],
    rng: np.random.Generator,
) -> Mesh:
    """One randomly turned triangle per centre; colours vary from card to card."""
    count = len(centres)
    corner = rng.normal(size=(count, 3, 3))
    corner -= corner.mean(axis=1, keepdims=True)
    corner *= size_m / np.maximum(np.linalg.norm(corner, axis=2, keepdims=True), 1e-6)
    vertices = (centres[:, None] + corner).reshape(-1, 3)
    tint = color * rng.uniform(0.55, 1.35, size=(count, 1)) * rng.uniform(0.9, 1.1, size=(count, 3))
    faces = np.arange(3 * count).reshape(-1, 3)
    return make_mesh(vertices, faces, material=Material.LEAVES, color=np.clip(tint, 0.0, 1.0))


_GREENS = np.array(
    [[0.10, 0.17, 0.04], [0.07, 0.13, 0.035], [0.14, 0.18, 0.05], [0.18, 0.15, 0.04], [0.06, 0.11, 0.05]]
)


def tree(rng: np.random.Generator, *, height_m: float, cards: int) -> Mesh:
    """A trunk with a crown of leaf cards around a few clumps (LiDAR passes between the cards)."""
    crown = height_m * rng.uniform(0.28, 0.38)
    stem = height_m * rng.uniform(0.25, 0.4)
    lean = rng.normal(scale=0.03, size=2) * height_m
    radius = 0.016 * height_m + 0.05
    path = np.array(
        [[0, 0, 0], [lean[0] * 0.4, lean[1] * 0.4, stem], [lean[0], lean[1], height_m * 0.8]], dtype=float
    )
    trunk = tube(path, np.array([radius, 0.8 * radius, 0.3 * radius]), sides=8, material=Material.BARK,
                 color=(0.13, 0.1, 0.075))  # fmt: skip
    clumps = rng.normal(size=(9, 3))
    clumps *= (crown * np.array([0.75, 0.75, 0.6])) / np.maximum(
        np.linalg.norm(clumps, axis=1, keepdims=True), 1e-6
    )
    clumps += [lean[0], lean[1], stem + (height_m - stem) * 0.5]
    pick = rng.integers(len(clumps), size=cards)
    spread = rng.normal(size=(cards, 3))
    spread *= (rng.uniform(0.5, 1.0, size=(cards, 1)) ** 0.5) / np.maximum(
        np.linalg.norm(spread, axis=1, keepdims=True), 1e-6
    )
    centres = clumps[pick] + spread * crown * 0.52
    centres[:, 2] = np.maximum(centres[:, 2], 0.6 * stem)
    color = _GREENS[rng.integers(len(_GREENS))]
    leaves = leaf_cards(centres, size_m=0.014 * height_m + 0.14, color=color, rng=rng)
    return concatenate([trunk, leaves])


def bush(rng: np.random.Generator, *, radius_m: float) -> Mesh:
    """A round bush: a dark core inside a shell of leaf cards."""
    color = _GREENS[rng.integers(len(_GREENS))]
    shape = radius_m * np.array([1.0, rng.uniform(0.8, 1.2), rng.uniform(0.7, 1.3)])
    core = ellipsoid(0.85 * shape, (0, 0, 0.9 * shape[2]), material=Material.HEDGE, color=0.6 * color)
    direction = rng.normal(size=(260, 3))
    direction /= np.maximum(np.linalg.norm(direction, axis=1, keepdims=True), 1e-6)
    centres = direction * shape * rng.uniform(0.85, 1.05, size=(260, 1)) + [0, 0, 0.9 * shape[2]]
    centres[:, 2] = np.maximum(centres[:, 2], 0.05)
    return concatenate([core, leaf_cards(centres, size_m=0.11 + 0.06 * radius_m, color=color, rng=rng)])


def hedge(rng: np.random.Generator, *, length_m: float, height_m: float) -> Mesh:
    """A clipped hedge along x, centred."""
    color = _GREENS[rng.integers(len(_GREENS))]
    core = box((length_m, 0.6, height_m), (0, 0, height_m / 2), material=Material.HEDGE, color=0.8 * color)
    count = int(38 * length_m * (0.6 + height_m))
    centres = np.stack(
        [
            rng.uniform(-length_m / 2, length_m / 2, count),
            rng.choice([-0.32, 0.32], size=count) + rng.normal(scale=0.02, size=count),
            rng.uniform(0.05, height_m, count),
        ],
        axis=1,
    )
    top = rng.random(count) < 0.3
    centres[top, 1] = rng.uniform(-0.3, 0.3, int(top.sum()))
    centres[top, 2] = height_m + rng.normal(scale=0.03, size=int(top.sum()))
    return concatenate([core, leaf_cards(centres, size_m=0.12, color=color, rng=rng)])


def fence(rng: np.random.Generator, *, length_m: float) -> Mesh:
    """A fence of pales on two rails along x, centred; see-through for a LiDAR."""
    height = rng.uniform(0.9, 1.3)
    color = np.array([(0.45, 0.43, 0.40), (0.2, 0.13, 0.08), (0.07, 0.1, 0.08)][int(rng.integers(3))])
    x = np.arange(-length_m / 2, length_m / 2, 0.16)
    pale = np.array([[-0.04, 0, 0.1], [0.04, 0, 0.1], [0.04, 0, height], [-0.04, 0, height]])
    corners = pale[None] + np.stack([x, np.zeros_like(x), np.zeros_like(x)], axis=1)[:, None]
    pales = quads(corners, material=Material.FENCE, color=color)
    rails = [
        box((length_m, 0.04, 0.08), (0, 0.04, z), material=Material.FENCE, color=color)
        for z in (0.25, height - 0.2)
    ]
    return concatenate([pales, *rails])


def low_wall(rng: np.random.Generator, *, length_m: float) -> Mesh:
    """A brick or plaster wall along x, centred."""
    height = rng.uniform(0.6, 1.8)
    color = [(0.36, 0.17, 0.12), (0.5, 0.48, 0.44), (0.6, 0.58, 0.52)][int(rng.integers(3))]
    return box((length_m, 0.25, height), (0, 0, height / 2), material=Material.BRICK, color=color)


def lamp_post() -> Mesh:
    """A street lamp with an arm towards +y."""
    path = np.array([[0, 0, 0], [0, 0, 6.2], [0, 0.3, 6.8], [0, 1.6, 7.0]], dtype=float)
    post = tube(
        path, np.array([0.09, 0.06, 0.05, 0.05]), sides=8, material=Material.METAL, color=(0.3, 0.32, 0.32)
    )
    lamp = box((0.25, 0.7, 0.12), (0, 1.8, 6.98), material=Material.METAL, color=(0.45,) * 3)
    return concatenate([post, lamp])


def sign(rng: np.random.Generator, *, height_m: tuple[float, float] = (2.2, 2.6)) -> Mesh:
    """A traffic sign on a post, facing -x (towards oncoming traffic of the +x lane), its middle so high."""
    height = rng.uniform(*height_m)
    path = np.array([[0, 0, 0], [0, 0, height + 0.3]])
    post = tube(path, np.full(2, 0.035), sides=6, material=Material.METAL, color=(0.4,) * 3)
    color = [(0.6, 0.03, 0.03), (0.03, 0.1, 0.5), (0.8, 0.8, 0.8), (0.75, 0.6, 0.05)][int(rng.integers(4))]
    if rng.random() < 0.6:
        disc = np.array([[-0.06, 0, height], [-0.04, 0, height]])
        plate = tube(disc, np.full(2, 0.32), sides=14, material=Material.SIGN, color=color)
    else:
        size = (0.02, rng.uniform(0.5, 0.9), rng.uniform(0.4, 0.8))
        plate = box(size, (-0.05, 0, height), material=Material.SIGN, color=color)
    return concatenate([post, plate])


def bin_(rng: np.random.Generator) -> Mesh:
    """A wheeled refuse bin (person-high confusable)."""
    color = [(0.03, 0.03, 0.035), (0.03, 0.1, 0.05), (0.25, 0.18, 0.02), (0.03, 0.07, 0.2)][
        int(rng.integers(4))
    ]
    body = box((0.55, 0.5, 0.95), (0, 0, 0.55), material=Material.BIN, color=color)
    lid = box((0.62, 0.56, 0.08), (0, 0, 1.06), material=Material.BIN, color=color)
    return concatenate([body, lid])


def bollard() -> Mesh:
    """A waist-high post."""
    return tube(
        np.array([[0, 0, 0], [0, 0, 0.9]]),
        np.full(2, 0.06),
        sides=8,
        material=Material.METAL,
        color=(0.25,) * 3,
    )


def container(rng: np.random.Generator) -> Mesh:
    """A recycling container or kiosk (car-high confusable)."""
    size = (rng.uniform(1.2, 3.0), rng.uniform(1.1, 1.6), rng.uniform(1.2, 2.2))
    color = [(0.05, 0.2, 0.08), (0.35, 0.33, 0.3), (0.1, 0.13, 0.3), (0.4, 0.1, 0.05)][int(rng.integers(4))]
    return box(size, (0, 0, size[2] / 2), material=Material.BIN, color=color)


def parked_bicycles(rng: np.random.Generator) -> Mesh:
    """Two to five riderless bicycles in a stand (unlabelled in KITTI, confusable with cyclists)."""
    bikes = []
    for i in range(int(rng.integers(2, 6))):
        bike = bicycle(rng.uniform(0.02, 0.4, size=3))
        bikes.append(place(bike, position=(0.0, 0.55 * i, 0.0), yaw_rad=float(rng.normal(0, 0.1))))
    return concatenate(bikes)
