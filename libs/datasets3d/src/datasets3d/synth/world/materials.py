"""What surfaces are made of: reflectivity at the LiDAR's wavelength, shine, semantic class."""

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, UInt8


class Semantic(IntEnum):
    """Semantic classes of the rendered map, in the spirit of SemanticKITTI's."""

    SKY = 0
    ROAD = 1
    LANE_MARKING = 2
    SIDEWALK = 3
    TERRAIN = 4
    BUILDING = 5
    FENCE = 6
    VEGETATION = 7
    TRUNK = 8
    POLE = 9
    SIGN = 10
    VEHICLE = 11
    PERSON = 12
    BICYCLE = 13
    OTHER = 14


class Material(IntEnum):
    """Index into the tables below; textures are chosen by it."""

    ROAD = 0
    CURB = 1
    FACADE = 2
    ROOF = 3
    BRICK = 4
    METAL = 5
    WOOD = 6
    BARK = 7
    LEAVES = 8
    HEDGE = 9
    PAINT = 10
    GLASS = 11
    TYRE = 12
    PLASTIC = 13
    LAMP_RED = 14
    LAMP_WHITE = 15
    PLATE = 16
    CLOTH = 17
    SKIN = 18
    HAIR = 19
    BIKE = 20
    SIGN = 21
    BIN = 22
    CARGO = 23
    FENCE = 24
    SIDEWALK = 25
    GRASS = 26
    RAIL = 27


class _Row(NamedTuple):
    semantic: Semantic
    nir: float
    """Reflectivity at 905 nm; for paint and cloth the share that does not follow the visible colour."""
    nir_of_color: float
    """How strongly the visible brightness moves the 905 nm reflectivity."""
    gloss: float
    """Strength of the mirror-like part, 0..1."""


# Reflectivities: Velodyne's manual and common remote-sensing tables, rounded (asphalt 0.1-0.3,
# concrete 0.3-0.4, foliage 0.4-0.5 at 905 nm, dark car paint under 0.1; plates and signs saturate).
_ROWS: dict[Material, _Row] = {
    Material.ROAD: _Row(Semantic.ROAD, 0.16, 0.6, 0.0),
    Material.CURB: _Row(Semantic.SIDEWALK, 0.34, 0.0, 0.0),
    Material.FACADE: _Row(Semantic.BUILDING, 0.18, 0.35, 0.0),
    Material.ROOF: _Row(Semantic.BUILDING, 0.2, 0.2, 0.0),
    Material.BRICK: _Row(Semantic.FENCE, 0.22, 0.3, 0.0),
    Material.METAL: _Row(Semantic.POLE, 0.25, 0.3, 0.15),
    Material.WOOD: _Row(Semantic.FENCE, 0.3, 0.2, 0.0),
    Material.BARK: _Row(Semantic.TRUNK, 0.3, 0.1, 0.0),
    Material.LEAVES: _Row(Semantic.VEGETATION, 0.42, 0.1, 0.05),
    Material.HEDGE: _Row(Semantic.VEGETATION, 0.38, 0.1, 0.02),
    Material.PAINT: _Row(Semantic.VEHICLE, 0.04, 0.55, 0.35),
    Material.GLASS: _Row(Semantic.VEHICLE, 0.05, 0.0, 0.9),
    Material.TYRE: _Row(Semantic.VEHICLE, 0.06, 0.3, 0.0),
    Material.PLASTIC: _Row(Semantic.VEHICLE, 0.06, 0.2, 0.05),
    Material.LAMP_RED: _Row(Semantic.VEHICLE, 0.7, 0.0, 0.4),
    Material.LAMP_WHITE: _Row(Semantic.VEHICLE, 0.45, 0.0, 0.5),
    Material.PLATE: _Row(Semantic.VEHICLE, 6.0, 0.0, 0.0),
    Material.CLOTH: _Row(Semantic.PERSON, 0.2, 0.4, 0.0),
    Material.SKIN: _Row(Semantic.PERSON, 0.4, 0.1, 0.0),
    Material.HAIR: _Row(Semantic.PERSON, 0.2, 0.3, 0.0),
    Material.BIKE: _Row(Semantic.BICYCLE, 0.15, 0.3, 0.2),
    Material.SIGN: _Row(Semantic.SIGN, 6.0, 0.0, 0.0),
    Material.BIN: _Row(Semantic.OTHER, 0.15, 0.4, 0.05),
    Material.CARGO: _Row(Semantic.VEHICLE, 0.15, 0.4, 0.08),
    Material.FENCE: _Row(Semantic.FENCE, 0.25, 0.3, 0.05),
    Material.SIDEWALK: _Row(Semantic.SIDEWALK, 0.2, 0.4, 0.0),
    Material.GRASS: _Row(Semantic.TERRAIN, 0.38, 0.1, 0.0),
    Material.RAIL: _Row(Semantic.FENCE, 0.35, 0.2, 0.1),
}


def _column(name: str) -> Float32[np.ndarray, " materials"]:
    return np.array([getattr(_ROWS[m], name) for m in Material], dtype=np.float32)


SEMANTIC: UInt8[np.ndarray, " materials"] = _column("semantic").astype(np.uint8)
NIR: Float32[np.ndarray, " materials"] = _column("nir")
NIR_OF_COLOR: Float32[np.ndarray, " materials"] = _column("nir_of_color")
GLOSS: Float32[np.ndarray, " materials"] = _column("gloss")
