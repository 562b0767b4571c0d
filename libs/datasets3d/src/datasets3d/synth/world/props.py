"""What kinds of things stand beside the road."""

from enum import IntEnum
from typing import NamedTuple

from datasets3d.synth.world.mesh import Mesh


class PropKind(IntEnum):
    """What a piece of the background is; the material alone does not tell a garden wall from a gable."""

    GROUND = 0
    HOUSE = 1
    WOODS = 2
    TREE = 3
    BUSH = 4
    HEDGE = 5
    FENCE = 6
    WALL = 7
    NOISE_BARRIER = 8
    GUARD_RAIL = 9
    LAMP_POST = 10
    TRAFFIC_SIGN = 11
    BIN = 12
    BOLLARD = 13
    CONTAINER = 14
    BICYCLES = 15
    YARD = 16


class Prop(NamedTuple):
    """A thing that never moves and that no box is drawn around."""

    kind: PropKind
    mesh: Mesh
