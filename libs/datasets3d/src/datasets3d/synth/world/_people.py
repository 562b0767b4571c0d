"""Pedestrians and cyclists: tapered limbs, torso, head, bicycle; feet at z = 0, facing +x."""

from functools import cache

import numpy as np
from jaxtyping import Float

from datasets3d.synth.world.materials import Material
from datasets3d.synth.world.mesh import (
    Mesh,
    Vector,
    box,
    concatenate,
    ellipsoid,
    loft,
    repaint,
    smooth,
    stretch,
    tube,
)

SKIN = ((0.62, 0.43, 0.33), (0.70, 0.52, 0.42), (0.40, 0.25, 0.17), (0.22, 0.13, 0.09))
CLOTHES = np.array(
    [
        [0.03, 0.03, 0.035], [0.08, 0.10, 0.16], [0.05, 0.09, 0.25], [0.45, 0.45, 0.46], [0.78, 0.78, 0.76],
        [0.45, 0.05, 0.06], [0.12, 0.28, 0.12], [0.55, 0.42, 0.12], [0.25, 0.16, 0.10], [0.10, 0.30, 0.38],
    ]
)  # fmt: skip


def limb(
    points: list[tuple[float | int, ...]], radii: tuple[float, ...], material: Material, color: Vector
) -> Mesh:
    """A round limb along points, with a radius at each."""
    return tube(np.array(points), np.array(radii), sides=7, material=material, color=color)


def torso(hip: tuple[float, float], chest: tuple[float, float], color) -> Mesh:
    """From the hip to the shoulders; both points given as (x, z), the spine straight between them."""
    share = np.array([-0.12, 0.0, 0.3, 0.75, 0.95, 1.03])
    depth = np.array([0.08, 0.12, 0.10, 0.13, 0.11, 0.05])
    width = np.array([0.11, 0.17, 0.15, 0.20, 0.19, 0.07])
    angle = np.arange(12) * (2 * np.pi / 12)
    spine_x = hip[0] + share * (chest[0] - hip[0])
    spine_z = hip[1] + share * (chest[1] - hip[1])
    rings = np.stack(
        [
            spine_x[:, None] + depth[:, None] * np.cos(angle),
            width[:, None] * np.sin(angle),
            np.repeat(spine_z[:, None], 12, axis=1),
        ],
        axis=-1,
    )
    return smooth(loft(rings, material=Material.CLOTH, color=color), crease_deg=70.0)


def head(x: float, z: float, skin, hair, helmet: bool) -> list[Mesh]:
    """Neck, face and hair, or a helmet of the hair's colour."""
    parts = [
        limb([(x - 0.02, 0, z - 0.22), (x, 0, z - 0.05)], (0.055, 0.055), Material.SKIN, skin),
        ellipsoid((0.095, 0.078, 0.12), (x, 0.0, z), material=Material.SKIN, color=skin),
        ellipsoid((0.10, 0.084, 0.095), (x - 0.018, 0.0, z + 0.04), material=Material.HAIR, color=hair),
    ]
    if helmet:
        parts.append(
            ellipsoid((0.14, 0.1, 0.09), (x - 0.01, 0.0, z + 0.075), material=Material.PLASTIC, color=hair)
        )
    return parts


def pedestrian(rng: np.random.Generator) -> Mesh:
    """A walking or standing person of random build, clothes and phase; height 1.5 to 1.95 m."""
    stride = rng.choice([0.0, 1.0], p=[0.3, 0.7]) * rng.uniform(0.5, 1.0)
    phase = np.sin(rng.uniform(0, 2 * np.pi)) * stride
    shirt, trousers, hair = (CLOTHES[i] * rng.uniform(0.7, 1.2) for i in rng.integers(len(CLOTHES), size=3))
    skin = SKIN[int(rng.integers(len(SKIN)))]
    skirt = rng.random() < 0.15
    parts = [
        torso((0.0, 0.92), (0.03, 1.48), shirt),
        *head(0.06, 1.66, skin, np.clip(hair, 0.02, 0.35), False),
    ]
    for side, swing in ((1.0, phase), (-1.0, -phase)):
        knee = (0.22 * swing + 0.05 * abs(swing), side * 0.095, 0.50)
        foot_x = 0.40 * swing - (0.08 if swing < 0 else 0.0)
        ankle = (foot_x, side * 0.095, 0.09 + (0.06 if swing < -0.3 else 0.0))
        leg_material, leg_color = (Material.SKIN, skin) if skirt else (Material.CLOTH, trousers)
        parts.append(
            limb([(0.0, side * 0.09, 0.95), knee, ankle], (0.088, 0.062, 0.045), leg_material, leg_color)
        )
        shoe = (foot_x + 0.06, side * 0.1, ankle[2] - 0.045)
        parts.append(box((0.26, 0.09, 0.09), shoe, material=Material.CLOTH, color=(0.04, 0.035, 0.03)))
        elbow = (-0.16 * swing, side * 0.25, 1.15)
        hand = (-0.30 * swing + 0.08, side * 0.25, 0.90 + 0.06 * abs(swing))
        parts.append(
            limb([(0.02, side * 0.19, 1.44), elbow, hand], (0.055, 0.045, 0.035), Material.CLOTH, shirt)
        )
        parts.append(
            ellipsoid((0.045, 0.03, 0.06), hand, material=Material.SKIN, color=skin, rings=4, sides=6)
        )
    if skirt:
        path = np.array([[0.0, 0, 0.98], [0.0, 0, 0.5]])
        parts.append(tube(path, np.array([0.14, 0.23]), sides=10, material=Material.CLOTH, color=trousers))
    if rng.random() < 0.3:
        parts.append(
            box((0.16, 0.28, 0.4), (-0.17, 0, 1.28), material=Material.CLOTH, color=CLOTHES[rng.integers(10)])
        )
    height = float(np.clip(rng.normal(1.74, 0.09), 1.45, 1.97))
    girth = height / 1.78 * rng.uniform(0.95, 1.2)
    return stretch(concatenate(parts), (girth, girth, height / 1.78))


def bicycle(color: Float[np.ndarray, "3"]) -> Mesh:
    """A bicycle with a painted frame, wheels on z = 0."""
    return repaint(_bicycle_template(), Material.BIKE, color)


@cache
def _bicycle_template() -> Mesh:
    dark = (0.04, 0.04, 0.04)
    color = (0.4, 0.4, 0.4)
    parts = []
    angle = np.linspace(0, 2 * np.pi, 17)
    for x in (-0.53, 0.53):
        rim = np.stack([x + 0.33 * np.cos(angle), np.zeros(17), 0.345 + 0.33 * np.sin(angle)], axis=1)
        parts.append(tube(rim, np.full(17, 0.018), sides=5, material=Material.TYRE, color=dark))
        for spoke in np.arange(4) * (np.pi / 4):
            reach = 0.32 * np.array([np.cos(spoke), 0.0, np.sin(spoke)])
            centre = np.array([x, 0.0, 0.345])
            spoke_path = np.stack([centre - reach, centre + reach])
            parts.append(tube(spoke_path, np.full(2, 0.004), sides=3, material=Material.BIKE, color=color))
    bars = (
        ((-0.53, 0.345), (-0.06, 0.30)), ((-0.53, 0.345), (-0.17, 0.85)), ((-0.06, 0.30), (-0.19, 0.92)),
        ((-0.06, 0.30), (0.40, 0.78)), ((-0.17, 0.80), (0.38, 0.86)), ((0.53, 0.345), (0.36, 1.02)),
    )  # fmt: skip
    for (x0, z0), (x1, z1) in bars:
        path = np.array([[x0, 0.0, z0], [x1, 0.0, z1]])
        parts.append(tube(path, np.full(2, 0.02), sides=5, material=Material.BIKE, color=color))
    handle = np.array([[0.34, -0.28, 1.02], [0.38, 0.0, 1.04], [0.34, 0.28, 1.02]])
    parts.append(tube(handle, np.full(3, 0.016), sides=5, material=Material.BIKE, color=dark))
    parts.append(box((0.25, 0.14, 0.06), (-0.2, 0.0, 0.95), material=Material.PLASTIC, color=dark))
    return concatenate(parts)


def cyclist(rng: np.random.Generator) -> Mesh:
    """A person riding a bicycle; about 1.75 m long, 0.6 m wide, 1.75 m high."""
    shirt, trousers, paint = (CLOTHES[i] * rng.uniform(0.7, 1.2) for i in rng.integers(len(CLOTHES), size=3))
    skin = SKIN[int(rng.integers(len(SKIN)))]
    crank = rng.uniform(0, 2 * np.pi)
    helmet = bool(rng.random() < 0.4)
    parts = [
        bicycle(paint),
        torso((-0.2, 1.02), (0.08, 1.44), shirt),
        *head(0.16, 1.65, skin, np.clip(CLOTHES[rng.integers(10)], 0.02, 0.6), helmet),
    ]
    for side in (1.0, -1.0):
        turn = crank if side > 0 else crank + np.pi
        foot = np.array([-0.06 + 0.17 * np.cos(turn), side * 0.1, 0.32 + 0.17 * np.sin(turn)])
        knee = (0.24 + 0.05 * np.cos(turn), side * 0.11, 0.72 + 0.5 * (foot[2] - 0.32))
        leg = [(-0.2, side * 0.09, 1.0), knee, tuple(foot)]
        parts.append(limb(leg, (0.088, 0.062, 0.045), Material.CLOTH, trousers))
        parts.append(
            box(
                (0.25, 0.09, 0.08),
                foot + np.array([0.05, 0, -0.03]),
                material=Material.CLOTH,
                color=(0.05, 0.05, 0.05),
            )
        )
        arm = [(0.08, side * 0.18, 1.40), (0.16, side * 0.25, 1.18), (0.34, side * 0.24, 1.06)]
        parts.append(limb(arm, (0.05, 0.042, 0.035), Material.CLOTH, shirt))
    size = rng.uniform(0.93, 1.08)
    return stretch(concatenate(parts), (size, size, size))
