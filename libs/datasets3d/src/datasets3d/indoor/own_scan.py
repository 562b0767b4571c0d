"""Own scans of rooms: what seems wrong with one, and how it comes into the frame that networks know.

Networks learn rooms as ScanNet aligns them: metres, z up, the floor at z = 0, walls along x and y, the middle
at the origin. `find_room_mistakes` says how a scan differs, `repair_room` brings it there, and its
`own_from_repaired` takes what was found back.

Mirrored rooms. A mirrored room is a room, too: geometry does not tell them apart, and no advice pretends to.
Axes that were swapped without a sign mirror a scan; axes that were turned do not. Hence `repair_room` brings
every room into one of the eight poses that walls along x and y allow (four quarter turns, each mirrored or
not): the wider axis becomes x, and along both the longer tail of the surfaces points to plus. So a turned and
a mirrored copy of a scan become the same points and get the same boxes, which `own_from_repaired`, then a
mirroring matrix, takes back to their places. That is sound for detectors that were trained with random flips
along x and y, as those of rooms are, and boxes have no handedness. Where a room is nearly symmetric, or as
wide as long, chance decides about its pose (`RepairedRoom.is_symmetric`): copies with the same points still
agree, mostly, but two scans of that room need not.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Real

from datasets3d._validate import check_array
from datasets3d.indoor._axes import UP_AXES, UpAxis
from datasets3d.indoor._mistakes import RoomMistake as RoomMistake
from datasets3d.indoor._mistakes import mistakes_of_points, mistakes_of_pose, steps
from datasets3d.indoor._pose import RoomPose, find_pose
from datasets3d.indoor._surfaces import MIN_POINTS, Surfaces, is_stray, sample_surfaces
from datasets3d.indoor.own_reading import read_room as read_room
from datasets3d.indoor.room import Room

_SYMMETRIC = 0.01
"""Rooms whose pose has a smaller margin are nearly symmetric."""
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairedRoom:
    """A scan in the frame of `Room`, in its canonical pose."""

    room: Room
    """`aligned_from_scan` takes points of the file to it."""
    own_from_repaired: Float64[np.ndarray, "4 4"]
    """Takes points and boxes of `room` to the coordinates and the unit of the file; may mirror."""
    mistakes: tuple[RoomMistake, ...]
    """What was repaired, and what was not."""
    is_symmetric: bool
    """Whether the pose was chosen nearly by chance."""


def find_room_mistakes(
    points: Real[np.ndarray, "n 3"], *, unit_m: float | None = None, up_axis: UpAxis | None = None
) -> tuple[RoomMistake, ...]:
    """Return what seems wrong with the scan of a room, in the order of the repairs.

    Looks for points that are not finite, centimetres and millimetres (feet and inches are asked about),
    another axis than z up, a tilted floor, walls that do not run along x and y, a floor that is not at z = 0,
    a middle far from the origin, points far away from all others, and too few of them. A bounded number of
    points is looked at: ten millions take little longer than a hundred thousand. Works without a ceiling, and
    mostly without a floor or with a single wall; an empty cube is not told from one that lies on its side.

    Args:
        points: x y z of a whole scan, in its own unit and axes.
        unit_m: Metres in that unit, if it is known.
        up_axis: The axis that is about up, with its sign, if it is known.

    Raises:
        TypeError: No array of numbers.
        ValueError: A shape other than [n, 3], a unit that is not positive, or no such axis.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> floor = rng.uniform(-2, 2, (9000, 3)) * [1.0, 1.5, 0.0]
        >>> wall = np.array([2.0, 0.0, 1.25]) + rng.uniform(-1, 1, (6000, 3)) * [0.0, 3.0, 1.25]
        >>> room = np.concatenate([floor, wall])
        >>> find_room_mistakes(room)
        ()
        >>> tuple(mistake.kind for mistake in find_room_mistakes(1000 * room[:, [0, 2, 1]]))
        ('unit', 'axis')
    """
    return _examine(points, unit_m, up_axis)[0]


def repair_room(room: Room, *, unit_m: float | None = None, up_axis: UpAxis | None = None) -> RepairedRoom:
    """Return a scan without its mistakes, in the one pose that all its turned and mirrored copies get.

    All is repaired that was measured, also what is too small to be told. Points that are not finite or far
    away from all others are left out. Where there are too few to say anything, all finite ones stay.

    Args:
        room: As `read_room` reads it; without objects.
        unit_m: As of `find_room_mistakes`.
        up_axis: As of `find_room_mistakes`.

    Raises:
        ValueError: A room with objects, a unit that is not positive, or no such axis.
    """
    if room.objects is not None:
        raise ValueError(
            "repair_room: the room has objects, which turns would leave aslant; repair it before"
        )
    mistakes, surfaces, pose = _examine(room.points, unit_m, up_axis)
    if surfaces is None or pose is None:
        repaired_from_room, keep = np.eye(4), _is_finite(room.points)
    else:
        flip = np.eye(4)
        flip[:3, :3] = pose.flip
        repaired_from_room = functools.reduce(lambda done, step: step @ done, [*steps(pose).values(), flip])
        keep = ~is_stray(room.points, surfaces.middle, surfaces.reach)
    kept = room if keep.all() else room.take(keep)
    scan_from_room = np.eye(4) if room.aligned_from_scan is None else np.linalg.inv(room.aligned_from_scan)
    own_from_repaired = scan_from_room @ np.linalg.inv(repaired_from_room)
    repaired = replace(
        kept,
        points=_moved(kept.points, repaired_from_room),
        aligned_from_scan=np.linalg.inv(own_from_repaired),
    )
    return RepairedRoom(
        room=repaired,
        own_from_repaired=own_from_repaired,
        mistakes=mistakes,
        is_symmetric=pose is None or pose.flip_margin < _SYMMETRIC,
    )


def _examine(
    points: Any, unit_m: float | None, up_axis: UpAxis | None
) -> tuple[tuple[RoomMistake, ...], Surfaces | None, RoomPose | None]:
    if not isinstance(points, np.ndarray) or points.dtype.kind not in "fiu":
        raise TypeError(f"points: expected an array of numbers, got {getattr(points, 'dtype', type(points))}")
    check_array("points", points, points.dtype, (None, 3))
    if unit_m is not None and not 0 < unit_m < np.inf:
        raise ValueError(f"unit_m must be positive, got {unit_m}")
    if up_axis is not None and up_axis not in UP_AXES:
        raise ValueError(f"up_axis must be {', '.join(UP_AXES)} or None, got {up_axis!r}")
    finite = int(_is_finite(points).sum())
    found: list[RoomMistake] = []
    if finite < len(points):
        found.append(
            RoomMistake(
                kind="invalid",
                text=f"{len(points) - finite} of {len(points)} points have NaN or infinite numbers",
            )
        )
    surfaces = sample_surfaces(points)
    if surfaces is None:
        text = f"{finite} points are fewer than {MIN_POINTS}, or most are the same or on a line: no room"
        return (*found, RoomMistake(kind="few", text=text, is_repaired=False)), None, None
    pose = find_pose(surfaces, unit_m=unit_m, up_axis=up_axis)
    found += mistakes_of_pose(pose, is_unit_known=unit_m is not None)
    found += mistakes_of_points(surfaces, unit_m=pose.unit_m)
    return tuple(found), surfaces, pose


def _is_finite(points: Real[np.ndarray, "n 3"]) -> Bool[np.ndarray, " n"]:
    return np.asarray(np.isfinite(points).all(axis=1))


def _moved(points: np.ndarray, matrix: Float64[np.ndarray, "4 4"]) -> np.ndarray:
    """Return points through a matrix, some at a time: in double precision, yet never all of them."""
    moved = np.empty((len(points), 3), np.float32)
    for start in range(0, len(points), _CHUNK):
        part = points[start : start + _CHUNK].astype(np.float64)
        moved[start : start + _CHUNK] = part @ matrix[:3, :3].T + matrix[:3, 3]
    return moved
