"""What is told about a room whose pose was measured: mistakes, their texts, and what repairs them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from geom3d import transforms
from jaxtyping import Float64

from datasets3d.indoor import _axes
from datasets3d.indoor._pose import RoomPose
from datasets3d.indoor._surfaces import Surfaces

MAX_TURN_RAD = 0.02
"""A floor or a wall may be off by so much: by no more are rooms turned at random in training."""
MAX_FLOOR_M = 0.15
"""The floor may lie so far from z = 0."""
MAX_OFF_CENTRE_M = 2.0
"""The middle may lie so far from the origin."""
MIN_POINTS_PER_M2 = 200.0
"""Fewer are a point every 7 cm or more: objects of the size of a bottle have a handful, or none."""
SURE_MARGIN = 0.2
"""What speaks for up by no more than that over another axis is a guess."""
PLAUSIBLE_HEIGHT_M = (0.8, 15.0)
PLAUSIBLE_WIDTH_M = (0.8, 150.0)
_ASKED = (
    ("feet", 0.3048, "metres", (6.0, 12.5)),
    ("inches", _axes.INCH_M, "centimetres", (70.0, 170.0)),
)
"""Units that are only asked about, what they are taken for, and heights of 1.8 to 4 m in them."""
_WIDE = 12
"""A room wider than so many times its height is a hall, whatever the unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomMistake:
    """Something that a scan of a room seems to have wrong, and what would repair it."""

    kind: str
    """`few`, `invalid`, `unit`, `axis`, `tilt`, `yaw`, `floor`, `origin`, `strays` or `sparse`."""
    text: str
    """What seems wrong, for people."""
    matrix: Float64[np.ndarray, "4 4"] | None = None
    """What repairs the points after the matrices of the mistakes before it. None if no moving does."""
    is_repaired: bool = True
    """Whether `repair_room` repairs it; if not, `text` says what may."""


def steps(pose: RoomPose) -> dict[str, Float64[np.ndarray, "4 4"]]:
    """Return what repairs a room, step by step, by the kind of mistake."""
    x, y = -pose.middle_m
    return {
        "unit": np.diag([pose.unit_m] * 3 + [1.0]),
        "axis": _rotation(pose.quarter),
        "tilt": _rotation(pose.tilt),
        "yaw": _rotation(_axes.turned_about_z(-pose.yaw)),
        "floor": _shift(0.0, 0.0, -pose.floor_m),
        "origin": _shift(x, y, 0.0),
    }


def mistakes_of_pose(pose: RoomPose, *, is_unit_known: bool) -> list[RoomMistake]:
    """Return what moving the points repairs, in this order; and units that are asked about."""
    repairs = steps(pose)
    found = _unit(pose, repairs["unit"], is_known=is_unit_known)
    if pose.quarter[2, 2] != 1.0:
        axis = int(np.argmax(np.abs(pose.quarter[2])))
        up = ("-" if pose.quarter[2, axis] < 0 else "") + "xyz"[axis]
        doubt = " (a guess: if it is not, say up_axis=)" if pose.up_margin < SURE_MARGIN else ""
        text = (
            f"z must be up; here it seems to be {up}{doubt}. If axes were swapped without a sign, the room "
            "is mirrored, too: points do not tell, and boxes do not mind"
        )
        found.append(RoomMistake(kind="axis", text=text, matrix=repairs["axis"]))
    tilt = float(np.arccos(np.clip(pose.tilt[2, 2], -1, 1)))
    if tilt > MAX_TURN_RAD:
        text = f"the floor is tilted by {np.degrees(tilt):.1f} degrees"
        found.append(RoomMistake(kind="tilt", text=text, matrix=repairs["tilt"]))
    if abs(pose.yaw) > MAX_TURN_RAD and pose.has_walls:
        text = f"the walls are turned by {np.degrees(pose.yaw):.1f} degrees from x and y"
        found.append(RoomMistake(kind="yaw", text=text, matrix=repairs["yaw"]))
    if abs(pose.floor_m) > MAX_FLOOR_M:
        text = f"the floor lies at {pose.floor_m:.2f} m; it must be at 0"
        found.append(RoomMistake(kind="floor", text=text, matrix=repairs["floor"]))
    away = float(np.hypot(*pose.middle_m))
    if away > MAX_OFF_CENTRE_M:
        text = f"the middle of the room lies {away:.1f} m from the origin; it must be there"
        found.append(RoomMistake(kind="origin", text=text, matrix=repairs["origin"]))
    return found


def mistakes_of_points(surfaces: Surfaces, *, unit_m: float) -> list[RoomMistake]:
    """Return what is wrong with the points themselves: some far away, or too few everywhere."""
    found = list[RoomMistake]()
    if surfaces.stray_share > 0:
        text = f"{surfaces.stray_share * 100:.2g} % of the points lie far away from all others"
        found.append(RoomMistake(kind="strays", text=text))
    density = surfaces.density / unit_m**2
    if density < MIN_POINTS_PER_M2:
        text = (
            f"there are {density:.0f} points per square metre of surface: below {MIN_POINTS_PER_M2:.0f} "
            "small objects are hardly seen; scan more densely or, if this is a mesh, put points on its faces"
        )
        found.append(RoomMistake(kind="sparse", text=text, is_repaired=False))
    return found


def _unit(pose: RoomPose, repair: Float64[np.ndarray, "4 4"], *, is_known: bool) -> list[RoomMistake]:
    height, width = pose.height_m / pose.unit_m, pose.width_m / pose.unit_m
    size = f"the room is {height:.4g} high and {width:.4g} wide"
    names = {unit: name for name, unit in _axes.UNITS_M.items()}
    if not is_known:
        name = names[pose.unit_m]
        for other, unit_m, taken_for, (low, high) in _ASKED:
            if name == taken_for and low < height < high and width < _WIDE * height:
                text = f"{size}: taken for {name}; if these are {other}, say unit_m={unit_m}"
                return [RoomMistake(kind="unit", text=text, is_repaired=False)]
        is_high = PLAUSIBLE_HEIGHT_M[0] <= pose.height_m <= PLAUSIBLE_HEIGHT_M[1]
        if not (is_high and PLAUSIBLE_WIDTH_M[0] <= pose.width_m <= PLAUSIBLE_WIDTH_M[1]):
            text = (
                f"{size}: no room in {', '.join(_axes.UNITS_M)}, taken for {name}; measure a length in it, "
                "and say how many metres its unit has with unit_m="
            )
            return [RoomMistake(kind="unit", text=text, is_repaired=False)]
    if pose.unit_m == 1.0:
        return []
    name = names.get(pose.unit_m, f"units of {pose.unit_m:g} m")
    text = f"{size}: coordinates must be metres, these {'are' if is_known else 'seem to be'} {name}"
    return [RoomMistake(kind="unit", text=text, matrix=repair)]


def _rotation(rotation: Float64[np.ndarray, "3 3"]) -> Float64[np.ndarray, "4 4"]:
    return transforms.from_parts(rotation, np.zeros(3))


def _shift(x: float, y: float, z: float) -> Float64[np.ndarray, "4 4"]:
    return transforms.from_parts(np.eye(3), np.array([x, y, z]))
