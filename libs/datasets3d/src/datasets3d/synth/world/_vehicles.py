"""Cars, vans and trucks: lofted bodies with cabin, windows, wheels, lamps and plates.

Templates are built once per body style in nominal size, centred on the box centre, facing +x, and stretched
to the wanted length, width and height, so that a mesh fills its labelled box exactly.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from datasets3d.synth.world.materials import Material
from datasets3d.synth.world.mesh import Mesh, box, concatenate, loft, place, smooth, stretch, tube


class _Station(NamedTuple):
    """One cross-section of a body. Shares of length, height and half width."""

    x: float
    """0 rear, 1 front."""
    belt: float
    """Height of the shoulder line."""
    top: float
    """Height of roof or hood."""
    roof_width: float
    """Half width of the upper edge."""
    width: float = 1.0
    """Half width at the bulge."""
    side: str = "body"
    """What the cabin's side is made of from this station to the next: body or glass."""
    upper: str = "body"
    """What the top is made of from this station to the next: body or glass (windscreens)."""
    floor: float = 0.14


_FRONT = (
    _Station(0.90, 0.50, 0.56, 0.84, 0.99),
    _Station(0.97, 0.44, 0.51, 0.78, 0.92, floor=0.15),
    _Station(1.00, 0.36, 0.42, 0.72, 0.80, floor=0.2),
)

_STYLES: dict[str, tuple[_Station, ...]] = {
    "hatch": (
        _Station(0.00, 0.50, 0.56, 0.74, 0.86, floor=0.2),
        _Station(0.03, 0.58, 0.62, 0.80, 0.95, upper="glass"),
        _Station(0.12, 0.62, 0.95, 0.74),
        _Station(0.17, 0.62, 0.985, 0.74, side="glass"),
        _Station(0.38, 0.61, 1.00, 0.75),
        _Station(0.40, 0.61, 1.00, 0.75, side="glass"),
        _Station(0.56, 0.60, 0.97, 0.74, side="glass", upper="glass"),
        _Station(0.74, 0.58, 0.64, 0.80),
        *_FRONT,
    ),
    "sedan": (
        _Station(0.00, 0.48, 0.56, 0.74, 0.86, floor=0.2),
        _Station(0.03, 0.56, 0.64, 0.80, 0.95),
        _Station(0.15, 0.60, 0.66, 0.82, upper="glass"),
        _Station(0.29, 0.62, 0.96, 0.72, side="glass"),
        _Station(0.45, 0.61, 1.00, 0.74),
        _Station(0.47, 0.61, 1.00, 0.74, side="glass"),
        _Station(0.59, 0.60, 0.97, 0.72, side="glass", upper="glass"),
        _Station(0.75, 0.58, 0.64, 0.80),
        *_FRONT,
    ),
    "wagon": (
        _Station(0.00, 0.50, 0.56, 0.76, 0.88, floor=0.2),
        _Station(0.02, 0.60, 0.64, 0.80, 0.96, upper="glass"),
        _Station(0.08, 0.62, 0.94, 0.76),
        _Station(0.10, 0.62, 0.97, 0.76, side="glass"),
        _Station(0.27, 0.61, 1.00, 0.76),
        _Station(0.29, 0.61, 1.00, 0.76, side="glass"),
        _Station(0.45, 0.61, 1.00, 0.76),
        _Station(0.47, 0.61, 1.00, 0.76, side="glass"),
        _Station(0.60, 0.60, 0.97, 0.74, side="glass", upper="glass"),
        _Station(0.75, 0.58, 0.63, 0.80),
        *_FRONT,
    ),
    "suv": (
        _Station(0.00, 0.52, 0.58, 0.80, 0.90, floor=0.24),
        _Station(0.02, 0.62, 0.66, 0.84, 0.97, upper="glass", floor=0.2),
        _Station(0.09, 0.64, 0.95, 0.80, floor=0.2),
        _Station(0.14, 0.64, 0.98, 0.80, side="glass", floor=0.2),
        _Station(0.40, 0.63, 1.00, 0.80, floor=0.2),
        _Station(0.42, 0.63, 1.00, 0.80, side="glass", floor=0.2),
        _Station(0.60, 0.62, 0.97, 0.78, side="glass", upper="glass", floor=0.2),
        _Station(0.72, 0.61, 0.68, 0.84, floor=0.2),
        _Station(0.92, 0.58, 0.63, 0.86, 0.98, floor=0.2),
        _Station(0.98, 0.50, 0.56, 0.80, 0.92, floor=0.22),
        _Station(1.00, 0.40, 0.48, 0.76, 0.84, floor=0.26),
    ),
    "van": (
        _Station(0.00, 0.52, 0.95, 0.84, 0.95, floor=0.2),
        _Station(0.02, 0.52, 0.99, 0.86, 0.98),
        _Station(0.33, 0.52, 1.00, 0.86),
        _Station(0.60, 0.52, 1.00, 0.86, side="glass"),
        _Station(0.74, 0.51, 0.96, 0.84, side="glass", upper="glass"),
        _Station(0.88, 0.49, 0.55, 0.86, 0.99),
        _Station(0.97, 0.40, 0.46, 0.82, 0.94),
        _Station(1.00, 0.30, 0.36, 0.78, 0.86, floor=0.18),
    ),
    "minibus": (
        _Station(0.00, 0.50, 0.60, 0.84, 0.95, upper="glass", floor=0.2),
        _Station(0.04, 0.52, 0.98, 0.84, 0.98),
        _Station(0.07, 0.52, 1.00, 0.86, side="glass"),
        _Station(0.30, 0.52, 1.00, 0.86),
        _Station(0.33, 0.52, 1.00, 0.86, side="glass"),
        _Station(0.57, 0.52, 1.00, 0.86),
        _Station(0.60, 0.52, 1.00, 0.86, side="glass"),
        _Station(0.74, 0.51, 0.96, 0.84, side="glass", upper="glass"),
        _Station(0.90, 0.49, 0.55, 0.86, 0.99),
        _Station(0.97, 0.40, 0.46, 0.82, 0.94),
        _Station(1.00, 0.30, 0.36, 0.78, 0.86, floor=0.18),
    ),
}

CAR_STYLES = ("hatch", "sedan", "wagon", "suv")
VAN_STYLES = ("van", "minibus")
NOMINAL: dict[str, tuple[float, float, float]] = {
    "hatch": (3.8, 1.64, 1.48),
    "sedan": (4.4, 1.72, 1.44),
    "wagon": (4.4, 1.72, 1.47),
    "suv": (4.3, 1.78, 1.70),
    "van": (5.1, 1.9, 2.2),
    "minibus": (4.9, 1.9, 2.05),
    "truck": (9.0, 2.5, 3.3),
    "box_truck": (7.0, 2.4, 3.1),
}
"""Length, width, height of the templates in metres (KITTI's means: Car 3.88 1.63 1.53; Van 5.1 1.9 2.2)."""


def _body(style: str) -> Mesh:
    length, width, height = NOMINAL[style]
    stations = _STYLES[style]
    rings, bands = [], []
    for s in stations:
        shoulder = s.width * 0.97
        roof = min(s.roof_width, shoulder)
        crown = 0.02 if s.top > 0.8 else 0.01
        y = np.array([0.0, 0.82 * s.width, 0.96 * s.width, s.width, shoulder, roof, roof * 0.86, 0.0])
        z = np.array(
            [s.floor, s.floor, s.floor + 0.07, 0.6 * s.belt, s.belt, s.top - 0.05, s.top - crown, s.top]
        )
        half = np.stack(
            [np.full(8, (s.x - 0.5) * 0.984 * length), 0.97 * y * width / 2, (z - 0.5) * height], axis=1
        )
        mirrored = half[6:0:-1] * [1.0, -1.0, 1.0]
        rings.append(np.concatenate([half, mirrored]))
        side = Material.GLASS if s.side == "glass" else Material.PAINT
        upper = Material.GLASS if s.upper == "glass" else Material.PAINT
        right = [
            Material.PLASTIC,
            Material.PLASTIC,
            Material.PAINT,
            Material.PAINT,
            side,
            Material.PAINT,
            upper,
        ]
        bands.append(right + right[::-1])
    mesh = loft(np.stack(rings), material=np.array(bands[:-1], dtype=np.uint8), cap_material=Material.PAINT)
    return smooth(mesh, crease_deg=35.0)


def wheel(radius: float, width: float) -> Mesh:
    """A tyre with a rim disc, axle along y."""
    path = np.array([[0.0, -width / 2, 0.0], [0.0, width / 2, 0.0]])
    tyre = tube(path, np.full(2, radius), sides=16, material=Material.TYRE, color=(0.03, 0.03, 0.03))
    rims = []
    for sign in (-1.0, 1.0):
        flat = np.array([[0.0, sign * (width / 2 - 0.02), 0.0], [0.0, sign * (width / 2 + 0.004), 0.0]])
        rims.append(
            tube(flat, np.full(2, 0.62 * radius), sides=12, material=Material.TYRE, color=(0.42, 0.43, 0.45))
        )
    return concatenate([tyre, *rims])


def wheels(size: tuple[float, float, float], radius: float, axles: tuple[float, ...]) -> list[Mesh]:
    """Pairs of wheels in their houses; axles as shares of the length before the middle, z = 0 half way up."""
    length, width, height = size
    one = wheel(radius, 0.2)
    # The wheel house: a dark disc between the body's side and the tyre.
    disc = np.array([[0.0, -0.06, 0.0], [0.0, 0.06, 0.0]])
    house = tube(
        disc, np.full(2, 1.2 * radius), sides=16, material=Material.PLASTIC, color=(0.015, 0.015, 0.015)
    )
    parts = []
    for x in axles:
        for sign in (-1.0, 1.0):
            parts.append(place(one, position=(x * length, sign * (width / 2 - 0.105), radius - height / 2)))
            centre = (x * length, sign * (width / 2 - 0.073), 1.06 * radius - height / 2)
            parts.append(place(house, position=centre))
    return parts


def _details(style: str) -> list[Mesh]:
    """Lamps, plates, grille, bumpers and mirrors of one body style."""
    length, width, height = NOMINAL[style]
    low = 0.33 if style in VAN_STYLES else 0.44
    rear_lamp = 0.45 if style in VAN_STYLES else 0.53
    parts = []
    for sign in (-1.0, 1.0):
        lamps = (
            (Material.LAMP_WHITE, 0.458, 0.31, low + 0.015, (0.2, 0.3, 0.13), (0.75, 0.76, 0.78)),
            (Material.LAMP_RED, -0.474, 0.37, rear_lamp, (0.14, 0.2, 0.2), (0.5, 0.02, 0.02)),
        )
        for material, x, y, z, size, color in lamps:
            centre = (x * length, sign * y * width, (z - 0.5) * height)
            parts.append(box(size, centre, material=material, color=color))
        mirror = (
            0.18 * length,
            sign * (width / 2 - 0.075),
            (0.63 if low > 0.4 else 0.56) * height - height / 2,
        )
        parts.append(box((0.1, 0.15, 0.13), mirror, material=Material.PAINT))
    for sign, z in ((1.0, 0.27 if low > 0.4 else 0.2), (-1.0, 0.42 if low > 0.4 else 0.3)):
        plate = (sign * (length / 2 - 0.012), 0.0, (z - 0.5) * height)
        parts.append(box((0.024, 0.5, 0.11), plate, material=Material.PLATE, color=(0.85, 0.85, 0.8)))
        bumper = (
            sign * (length / 2 - 0.06),
            0.0,
            (0.25 - 0.5) * height if low > 0.4 else (0.16 - 0.5) * height,
        )
        parts.append(
            box((0.1, 0.78 * width, 0.09), bumper, material=Material.PLASTIC, color=(0.04, 0.04, 0.04))
        )
    grille = (length / 2 - 0.05, 0.0, (low - 0.06 - 0.5) * height)
    parts.append(box((0.06, 0.36 * width, 0.1), grille, material=Material.PLASTIC, color=(0.03, 0.03, 0.03)))
    return parts


def _truck(style: str) -> Mesh:
    """A cab in front of a cargo box on a dark chassis."""
    size = length, width, height = NOMINAL[style]
    cab_length = 0.24 * length
    cab_x = length / 2 - cab_length / 2
    cab_height = 0.84 * height
    bottom = -height / 2
    parts = [
        box((cab_length, 0.96 * width, cab_height - 0.45), (cab_x, 0, bottom + 0.225 + cab_height / 2),
            material=Material.PAINT),
        box((length - cab_length - 0.25, width, height - 1.0),
            (-(cab_length + 0.25) / 2, 0, bottom + 1.0 + (height - 1.0) / 2),
            material=Material.CARGO),
        box((length - 0.3, 0.8 * width, 0.35), (0, 0, bottom + 0.75), material=Material.PLASTIC,
            color=(0.05,) * 3),
        box((0.05, 0.84 * width, 0.26 * height), (length / 2 - 0.01, 0, bottom + 0.63 * height),
            material=Material.GLASS),
        box((0.1, 0.9 * width, 0.3), (length / 2 - 0.055, 0, bottom + 0.45), material=Material.PLASTIC,
            color=(0.06,) * 3),
    ]  # fmt: skip
    for sign in (-1.0, 1.0):
        parts.append(
            box(
                (0.5 * cab_length, 0.04, 0.22 * height),
                (cab_x + 0.1 * cab_length, sign * 0.475 * width, bottom + 0.64 * height),
                material=Material.GLASS,
            )
        )
        lamp = (length / 2 - 0.03, sign * 0.38 * width, bottom + 0.62)
        parts.append(box((0.08, 0.3, 0.14), lamp, material=Material.LAMP_WHITE, color=(0.7, 0.7, 0.7)))
        rear = (-length / 2 + 0.16, sign * 0.4 * width, bottom + 0.82)
        parts.append(box((0.08, 0.3, 0.14), rear, material=Material.LAMP_RED, color=(0.5, 0.02, 0.02)))
    return concatenate([*parts, *wheels(size, 0.48, (-0.36, -0.22, 0.36))])


@cache
def template(style: str) -> Mesh:
    """The mesh of one body style in a unit box: every extent exactly -0.5..0.5."""
    size = NOMINAL[style]
    if style in _STYLES:
        radius = 0.31 if style in CAR_STYLES else 0.34
        mesh = concatenate([_body(style), *_details(style), *wheels(size, radius, (-0.30, 0.32))])
    else:
        mesh = _truck(style)
    low, high = mesh.extent
    centred = place(mesh, position=-(low + high) / 2)
    return stretch(centred, 1.0 / (high - low))


def vehicle(style: str, *, size: Float[np.ndarray, "3"], color: Float[np.ndarray, "3"]) -> Mesh:
    """A vehicle of the given length, width, height in its canonical frame (origin box centre, facing +x)."""
    mesh = stretch(template(style), size)
    colors = mesh.color.copy()
    colors[mesh.material == Material.PAINT] = color
    colors[mesh.material == Material.GLASS] = (0.03, 0.035, 0.04)
    colors[mesh.material == Material.CARGO] = 0.35 + 0.5 * color
    dark = mesh.material == Material.PLASTIC
    colors[dark] = np.minimum(colors[dark], 0.06)
    return Mesh(mesh.vertices, mesh.faces, mesh.material, colors, mesh.uv, mesh.normals)


# Colours of the German fleet, roughly: black, grey, silver, white, then red, blue, green, beige.
_COLORS = np.array(
    [
        [0.02, 0.02, 0.022], [0.10, 0.10, 0.11], [0.34, 0.35, 0.36], [0.75, 0.75, 0.74],
        [0.38, 0.02, 0.02], [0.03, 0.07, 0.26], [0.03, 0.14, 0.07], [0.42, 0.36, 0.24],
    ]
)  # fmt: skip
_COLOR_SHARES = np.array([0.2, 0.17, 0.24, 0.13, 0.1, 0.1, 0.03, 0.03])


def draw_color(rng: np.random.Generator) -> Float[np.ndarray, "3"]:
    """A colour of the fleet; bright ones may pass 1."""
    return (
        _COLORS[int(rng.choice(len(_COLORS), p=_COLOR_SHARES))]
        * rng.uniform(0.8, 1.25)
        * rng.uniform(0.97, 1.03, size=3)
    )


def draw_vehicle(kind: str, rng: np.random.Generator) -> Mesh:
    """A random Car, Van or Truck.

    Sizes follow KITTI's spread: cars 3.9 +- 0.4 by 1.63 +- 0.1 by 1.53 +- 0.13 m about the style's nominal
    size.
    """
    styles = {"Car": CAR_STYLES, "Van": VAN_STYLES, "Truck": ("truck", "box_truck")}[kind]
    shares = {"Car": (0.46, 0.22, 0.2, 0.12), "Van": (0.6, 0.4), "Truck": (0.45, 0.55)}[kind]
    style = styles[int(rng.choice(len(styles), p=shares))]
    spread = {"Car": (0.25, 0.07, 0.07), "Van": (0.35, 0.1, 0.15), "Truck": (1.6, 0.12, 0.3)}[kind]
    draw = np.clip(rng.normal(size=3), -2.2, 2.2)
    size = np.array(NOMINAL[style]) + draw * spread
    if kind == "Car":
        # Nominal sizes average 4.1 m; KITTI's cars are shorter (3.88 m).
        size[0] -= 0.16
        size[1] -= 0.03
    color = draw_color(rng)
    if kind != "Car" and rng.random() < 0.55:
        color = np.full(3, rng.uniform(0.5, 0.8))
    return vehicle(style, size=size, color=np.clip(color, 0.01, 0.9))
