"""Buses, trailers and motorcycles with and without riders; feet at z = 0, facing +x."""

import numpy as np
from jaxtyping import Float

from datasets3d.synth.world._people import CLOTHES, SKIN, head, limb, torso
from datasets3d.synth.world._vehicles import draw_color, wheel, wheels
from datasets3d.synth.world.materials import Material
from datasets3d.synth.world.mesh import Mesh, Vector, box, concatenate, ellipsoid, place, stretch, tube

_DARK = (0.04, 0.04, 0.04)


def bus(rng: np.random.Generator) -> Mesh:
    """A city bus, about 11.5 m long: a band of windows all round between the lower body and the roof."""
    length, width = float(rng.uniform(10.5, 12.3)), 2.5
    color = [(0.6, 0.08, 0.05), (0.65, 0.55, 0.1), (0.1, 0.2, 0.45), (0.7, 0.7, 0.68)][int(rng.integers(4))]
    parts = [
        box((length, width, 0.95), (0, 0, 0.775), material=Material.PAINT, color=color),
        box((length - 0.1, width - 0.04, 1.2), (0, 0, 1.8), material=Material.GLASS, color=_DARK),
        box((length, width, 0.6), (0, 0, 2.7), material=Material.PAINT, color=color),
        box((2.4, 1.6, 0.2), (-1.0, 0, 3.1), material=Material.PLASTIC, color=(0.3,) * 3),
    ]
    for x in np.linspace(-length / 2 + 0.06, length / 2 - 0.06, 8):
        for side in (-1.0, 1.0):
            pillar = (x, side * (width / 2 - 0.06), 1.8)
            parts.append(box((0.12, 0.12, 1.2), pillar, material=Material.PAINT, color=color))
    for sign in (-1.0, 1.0):
        lamp = (length / 2, sign * 0.95, 0.75)
        parts.append(box((0.06, 0.35, 0.2), lamp, material=Material.LAMP_WHITE, color=(0.7,) * 3))
        rear = (-length / 2, sign * 1.05, 0.9)
        parts.append(box((0.06, 0.25, 0.3), rear, material=Material.LAMP_RED, color=(0.5, 0.02, 0.02)))
        plate = (sign * (length / 2 + 0.02), 0.0, 0.5)
        parts.append(box((0.02, 0.5, 0.11), plate, material=Material.PLATE, color=(0.85, 0.85, 0.8)))
    height = 3.2
    axles = concatenate(wheels((length, width, height), 0.48, (-0.26, 0.3)))
    return concatenate([*parts, place(axles, position=(0, 0, height / 2))])


def trailer(rng: np.random.Generator) -> Mesh:
    """A caravan, or a small cart with a tarpaulin, on one axle with its drawbar."""
    if rng.random() < 0.5:
        size = (float(rng.uniform(4.0, 5.2)), 2.1, float(rng.uniform(1.8, 2.1)))
        floor, color, material = 0.45, (0.72, 0.72, 0.7), Material.PAINT
        window = box((0.4 * size[0], size[1] + 0.02, 0.5), (0, 0, floor + 0.62 * size[2]),
                     material=Material.GLASS, color=_DARK)  # fmt: skip
        parts = [window]
    else:
        size = (float(rng.uniform(1.8, 2.6)), 1.4, float(rng.uniform(0.5, 1.4)))
        floor, color, material = 0.5, tuple(0.5 * draw_color(rng)), Material.CARGO
        parts = []
    length, width, height = size
    parts.append(box(size, (0, 0, floor + height / 2), material=material, color=color))
    bar = np.array([[length / 2 - 0.1, 0, floor + 0.05], [length / 2 + 1.1, 0, 0.45]])
    parts.append(tube(bar, np.full(2, 0.05), sides=6, material=Material.PLASTIC, color=(0.1,) * 3))
    stand = np.array([[length / 2 + 0.9, 0, 0], [length / 2 + 0.9, 0, 0.5]])
    parts.append(tube(stand, np.full(2, 0.03), sides=6, material=Material.PLASTIC, color=(0.1,) * 3))
    for sign in (-1.0, 1.0):
        lamp = (-length / 2, sign * (width / 2 - 0.15), floor + 0.1)
        parts.append(box((0.04, 0.2, 0.12), lamp, material=Material.LAMP_RED, color=(0.5, 0.02, 0.02)))
    full = 2 * (floor + height / 2)
    axle = concatenate(wheels((length, width + 0.1, full), 0.31, (-0.05,)))
    return concatenate([*parts, place(axle, position=(0, 0, full / 2))])


def motorcycle(rng: np.random.Generator) -> Mesh:
    """A motorcycle, about 2 m long and 1.1 m high."""
    return _resized(_machine(draw_color(rng)), rng)


def motorcyclist(rng: np.random.Generator) -> Mesh:
    """A motorcycle and its rider, about 1.7 m high."""
    jacket, trousers = (CLOTHES[i] * rng.uniform(0.7, 1.2) for i in rng.integers(len(CLOTHES), size=2))
    skin = SKIN[int(rng.integers(len(SKIN)))]
    parts = [
        _machine(draw_color(rng)),
        torso((-0.3, 0.92), (-0.02, 1.36), jacket),
        *head(0.06, 1.57, skin, np.clip(draw_color(rng), 0.02, 0.6), True),
    ]
    for side in (1.0, -1.0):
        leg = [(-0.28, side * 0.12, 0.88), (0.14, side * 0.22, 0.72), (-0.04, side * 0.22, 0.36)]
        arm = [(-0.03, side * 0.18, 1.32), (0.16, side * 0.32, 1.14), (0.4, side * 0.34, 1.06)]
        boot = (0.04, side * 0.22, 0.3)
        parts.append(limb(leg, (0.095, 0.07, 0.05), Material.CLOTH, trousers))
        parts.append(limb(arm, (0.06, 0.05, 0.04), Material.CLOTH, jacket))
        parts.append(box((0.27, 0.1, 0.1), boot, material=Material.CLOTH, color=_DARK))
    return _resized(concatenate(parts), rng)


def _machine(color: Float[np.ndarray, "3"]) -> Mesh:
    tyre = wheel(0.31, 0.13)
    parts = [
        place(tyre, position=(0.7, 0, 0.31)),
        place(tyre, position=(-0.7, 0, 0.31)),
        box((0.5, 0.32, 0.36), (0, 0, 0.44), material=Material.PLASTIC, color=(0.12,) * 3),
        ellipsoid((0.3, 0.17, 0.15), (0.14, 0, 0.8), material=Material.PAINT, color=color),
        box((0.6, 0.26, 0.1), (-0.38, 0, 0.79), material=Material.PLASTIC, color=_DARK),
        box((0.4, 0.22, 0.16), (-0.62, 0, 0.68), material=Material.PAINT, color=color),
        ellipsoid((0.09, 0.11, 0.11), (0.58, 0, 0.9), material=Material.LAMP_WHITE, color=(0.7,) * 3),
        box((0.02, 0.2, 0.14), (-0.86, 0, 0.56), material=Material.PLATE, color=(0.85, 0.85, 0.8)),
        _bar([(0.4, -0.36, 1.05), (0.48, 0.0, 1.02), (0.4, 0.36, 1.05)], 0.02),
        _bar([(0.0, -0.21, 0.3), (-0.85, -0.21, 0.4)], 0.05),
        _bar([(-0.7, 0.1, 0.31), (-0.05, 0.1, 0.42)], 0.035),
    ]
    forks = [_bar([(0.7, side * 0.09, 0.31), (0.46, side * 0.09, 1.0)], 0.03) for side in (-1.0, 1.0)]
    return concatenate([*parts, *forks])


def _bar(points: list[tuple[float | int, ...]], radius: float) -> Mesh:
    path = np.array(points)
    gray: Vector = (0.3, 0.3, 0.32)
    return tube(path, np.full(len(path), radius), sides=6, material=Material.BIKE, color=gray)


def _resized(mesh: Mesh, rng: np.random.Generator) -> Mesh:
    size = float(rng.uniform(0.94, 1.06))
    return stretch(mesh, (size, size, size))
