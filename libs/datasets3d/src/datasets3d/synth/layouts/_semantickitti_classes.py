"""Surfaces and road users of the world as SemanticKITTI's raw classes."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from jaxtyping import Float, UInt16, UInt32

from datasets3d.synth.sensors.lidar import LidarScan
from datasets3d.synth.world._people import bicycle
from datasets3d.synth.world.drive import Drive
from datasets3d.synth.world.materials import Material, Semantic
from datasets3d.synth.world.props import PropKind


class RawLabel(IntEnum):
    """The lower 16 bits of a label (official list of classes)."""

    UNLABELED = 0
    OUTLIER = 1
    CAR = 10
    BICYCLE = 11
    BUS = 13
    MOTORCYCLE = 15
    ON_RAILS = 16
    TRUCK = 18
    OTHER_VEHICLE = 20
    PERSON = 30
    BICYCLIST = 31
    MOTORCYCLIST = 32
    ROAD = 40
    PARKING = 44
    SIDEWALK = 48
    OTHER_GROUND = 49
    BUILDING = 50
    FENCE = 51
    OTHER_STRUCTURE = 52
    LANE_MARKING = 60
    VEGETATION = 70
    TRUNK = 71
    TERRAIN = 72
    POLE = 80
    TRAFFIC_SIGN = 81
    OTHER_OBJECT = 99
    MOVING_CAR = 252
    MOVING_BICYCLIST = 253
    MOVING_PERSON = 254
    MOVING_MOTORCYCLIST = 255
    MOVING_ON_RAILS = 256
    MOVING_BUS = 257
    MOVING_TRUCK = 258
    MOVING_OTHER_VEHICLE = 259


RAW_OF_PROP: dict[PropKind, RawLabel] = {
    PropKind.HOUSE: RawLabel.BUILDING,
    PropKind.WOODS: RawLabel.VEGETATION,
    PropKind.HEDGE: RawLabel.VEGETATION,
    PropKind.BUSH: RawLabel.VEGETATION,
    PropKind.FENCE: RawLabel.FENCE,
    PropKind.WALL: RawLabel.FENCE,
    PropKind.GUARD_RAIL: RawLabel.FENCE,
    PropKind.NOISE_BARRIER: RawLabel.OTHER_STRUCTURE,
    PropKind.LAMP_POST: RawLabel.POLE,
    PropKind.BOLLARD: RawLabel.POLE,
    PropKind.BIN: RawLabel.OTHER_OBJECT,
    PropKind.CONTAINER: RawLabel.OTHER_OBJECT,
    PropKind.BICYCLES: RawLabel.BICYCLE,
    PropKind.YARD: RawLabel.OTHER_GROUND,
}
"""Things that are of one class. Garden walls and guard rails separate as fences do; hedges are plants."""

RAW_OF_MATERIAL: dict[Material, RawLabel] = {
    Material.ROAD: RawLabel.ROAD,
    Material.SIDEWALK: RawLabel.SIDEWALK,
    Material.CURB: RawLabel.SIDEWALK,
    Material.GRASS: RawLabel.TERRAIN,
    Material.BARK: RawLabel.TRUNK,
    Material.LEAVES: RawLabel.VEGETATION,
    Material.METAL: RawLabel.POLE,
    Material.SIGN: RawLabel.TRAFFIC_SIGN,
}
"""The ground, trees and traffic signs: a class for each of their materials."""

RAW_OF_ACTOR: dict[str, RawLabel] = {
    "Car": RawLabel.CAR,
    "Van": RawLabel.CAR,
    "Truck": RawLabel.TRUCK,
    "Bus": RawLabel.BUS,
    "Trailer": RawLabel.OTHER_VEHICLE,
    "Motorcycle": RawLabel.MOTORCYCLE,
    "Pedestrian": RawLabel.PERSON,
    "Cyclist": RawLabel.BICYCLIST,
    "Motorcyclist": RawLabel.MOTORCYCLIST,
}
"""A rider and what he rides are one object of the rider's class."""

MOVING: dict[RawLabel, RawLabel] = {
    RawLabel.CAR: RawLabel.MOVING_CAR,
    RawLabel.TRUCK: RawLabel.MOVING_TRUCK,
    RawLabel.BUS: RawLabel.MOVING_BUS,
    RawLabel.OTHER_VEHICLE: RawLabel.MOVING_OTHER_VEHICLE,
    RawLabel.PERSON: RawLabel.MOVING_PERSON,
    RawLabel.BICYCLIST: RawLabel.MOVING_BICYCLIST,
    RawLabel.MOTORCYCLIST: RawLabel.MOVING_MOTORCYCLIST,
}


@dataclass(frozen=True, slots=True)
class BackgroundLabels:
    """Raw class and instance of each triangle of a drive's background."""

    raw: UInt16[np.ndarray, " m"]
    instance: UInt16[np.ndarray, " m"]
    """Parked bicycles are counted on from the last actor; 0 for everything else."""


def label_background(drive: Drive) -> BackgroundLabels:
    """Label what never moves."""
    kinds = np.array(drive.prop_kinds)[drive.background_props]
    raw = _table(RAW_OF_MATERIAL)[drive.background.material]
    whole = _table(RAW_OF_PROP)[kinds]
    instance = np.zeros(len(kinds), dtype=np.uint16)
    parts = np.flatnonzero(kinds == PropKind.BICYCLES)
    # A stand is so many bicycles in a row, each with the same number of triangles.
    instance[parts] = len(drive.actors) + 1 + np.arange(len(parts)) // len(bicycle(np.zeros(3)).faces)
    return BackgroundLabels(np.where(whole > 0, whole, raw).astype(np.uint16), instance)


def _table(raw: dict[Material, RawLabel] | dict[PropKind, RawLabel]) -> UInt16[np.ndarray, " k"]:
    """What each number stands for; 0 where nothing is said."""
    table = np.zeros(256, dtype=np.uint16)
    for number, label in raw.items():
        table[number] = label
    return table


def label_actors(drive: Drive, *, time_s: float, moving_m_s: float) -> UInt16[np.ndarray, " k"]:
    """Return the raw class of each actor, that of the moving ones for those faster than the limit."""
    speeds = np.linalg.norm(drive.actor_velocities(time_s), axis=1)
    labels = []
    for actor, speed in zip(drive.actors, speeds.tolist(), strict=True):
        standing = RAW_OF_ACTOR[actor.name]
        labels.append(MOVING.get(standing, standing) if speed > moving_m_s else standing)
    return np.array(labels, dtype=np.uint16)


def label_points(
    drive: Drive,
    background: BackgroundLabels,
    actor_raw: UInt16[np.ndarray, " k"],
    turn: LidarScan,
    points_world: Float[np.ndarray, "n 3"],
) -> UInt32[np.ndarray, " n"]:
    """Return the labels of a scan: the instance in the upper 16 bits, the raw class in the lower.

    Args:
        actor_raw: See `label_actors`.
        points_world: The points of the scan in the world; they tell parking lanes from the other ones.
    """
    on_actor = turn.instances > 0
    # The faces of the background are the first of every scene.
    face = np.where(on_actor, 0, turn.faces)
    raw = np.where(
        on_actor, np.concatenate([np.zeros(1, np.uint16), actor_raw])[turn.instances], background.raw[face]
    )
    raw[turn.semantics == Semantic.LANE_MARKING] = RawLabel.LANE_MARKING
    asphalt = np.flatnonzero(raw == RawLabel.ROAD)
    s, t = drive.plan.to_road(*points_world[asphalt, :2].T)
    # The noise of the range puts some returns beyond the kerb.
    parking = drive.plan.is_parking(s, t, margin_m=0.1)
    raw[asphalt[parking]] = RawLabel.PARKING
    instance = np.where(on_actor, turn.instances, background.instance[face])
    return raw.astype(np.uint32) | (instance.astype(np.uint32) << np.uint32(16))
