"""How a room lies in the coordinates of its scan: unit, up, floor, walls and middle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from datasets3d.indoor import _axes
from datasets3d.indoor._surfaces import Surfaces

_TAIL = 0.005
_FLOOR_BIN_M, _FLOOR_SHARE = 0.04, 0.3
"""The floor is the lowest level that has at least this share of the area of the largest."""
_FLOOR_BELLS_M = (0.06, 0.03)
"""Distances from the floor at which a point counts e**0.5 times less for it, one after the other."""
_MIN_FLOOR = 0.04
"""Share of all area that a floor must have; else the lowest points are taken for it."""
_MAX_FLOOR_TILT = np.radians(1.0)
"""Against the mean of all that is level: a plane more tilted joins levels of different heights."""
_ROUNDS, _STILL = 200, 1e-12
_MIN_DISTINCT = 1.5
"""Walls that are less distinct say nothing about where x and y are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomPose:
    """What was found about a room. A point of the scan becomes one of the room by the steps in this order."""

    unit_m: float
    """Metres in the unit of the scan."""
    height_m: float
    """From the lowest to the highest surface, the outermost hundredth left out."""
    width_m: float
    """The longer side."""
    quarter: Float64[np.ndarray, "3 3"]
    """Turn by right angles that brings the axis next to up to z."""
    tilt: Float64[np.ndarray, "3 3"]
    """Small turn after it that brings up to z."""
    yaw: float
    """Direction of the walls then, radians; to be turned back. Within 45 degrees."""
    has_walls: bool
    """Whether walls say so; else the longest extent does."""
    floor_m: float
    """Height of the floor then, metres."""
    middle_m: Float64[np.ndarray, " 2"]
    """x and y of the middle then, metres."""
    flip: Float64[np.ndarray, "3 3"]
    """What brings the room into the canonical one of its eight poses: of 0, 1 and -1, keeps z."""
    flip_margin: float
    """How far the room is from a symmetric one, whose pose chance would choose; below 0.01 it nearly is."""
    up_margin: float
    """See `_axes.Up`."""


def find_pose(
    surfaces: Surfaces, *, unit_m: float | None = None, up_axis: _axes.UpAxis | None = None
) -> RoomPose:
    """Return how a room lies.

    Args:
        surfaces: Of its scan.
        unit_m: Metres in the unit of the scan, if it is known.
        up_axis: Axis of the scan that is about up, if it is known.
    """
    up, up_margin = _axes.find_up(surfaces, up_axis)
    height, width = _sizes(surfaces, up)
    unit_m = _axes.UNITS_M[_axes.nearest_unit(height, width)] if unit_m is None else unit_m
    up, floor_point = _level(surfaces, up, unit_m)
    quarter = _axes.quarter_turn(up)
    tilt = _axes.tilt_to_z(quarter @ up)
    upright = tilt @ quarter
    yaw, distinct = _axes.wall_yaw(surfaces.normals @ upright.T, surfaces.weights)
    has_walls = distinct >= _MIN_DISTINCT
    if not has_walls:
        yaw = _longest(surfaces.points @ upright.T, surfaces.weights)
    aligned = _axes.turned_about_z(-yaw) @ upright
    points = unit_m * surfaces.points @ aligned.T
    shift = unit_m * aligned @ surfaces.middle
    middle = np.array([np.mean(_axes.extent(points[:, i], surfaces.weights, tail=_TAIL)) for i in (0, 1)])
    flip, flip_margin = _canonical(points[:, :2], surfaces.weights)
    return RoomPose(
        unit_m=unit_m,
        height_m=height * unit_m,
        width_m=width * unit_m,
        quarter=quarter,
        tilt=tilt,
        yaw=yaw,
        has_walls=has_walls,
        floor_m=float(unit_m * (aligned @ floor_point)[2] + shift[2]),
        middle_m=middle + shift[:2],
        flip=flip,
        flip_margin=flip_margin,
        up_margin=up_margin,
    )


def _sizes(surfaces: Surfaces, up: Float64[np.ndarray, " 3"]) -> tuple[float, float]:
    """Return height and the longer side, in the unit of the scan, both above 0."""
    points = surfaces.points @ _axes.upright_frame(up).T
    sizes = [np.ptp(_axes.extent(points[:, i], surfaces.weights)) for i in range(3)]
    return max(float(sizes[2]), 1e-12), max(float(sizes[0]), float(sizes[1]), 1e-12)


def _level(
    surfaces: Surfaces, up: Float64[np.ndarray, " 3"], unit_m: float
) -> tuple[Float64[np.ndarray, " 3"], Float64[np.ndarray, " 3"]]:
    """Return up as the floor has it, and a point of the floor; without a floor `up`, and the lowest point."""
    weights = surfaces.weights * np.clip((np.abs(surfaces.normals @ up) - 0.9) / 0.08, 0, 1)
    heights = surfaces.points @ up
    low, high = _axes.extent(heights, surfaces.weights, tail=_TAIL)
    if weights.sum() < _MIN_FLOOR:
        return up, low * up
    width = _FLOOR_BIN_M / unit_m
    bins = np.floor((heights - low) / width).astype(np.int64) + 2
    usable = (bins >= 0) & (heights <= low + 0.6 * (high - low) + width)
    areas = np.convolve(np.bincount(bins[usable], weights[usable]), [1, 1, 1])
    level = int(np.argmax(areas >= _FLOOR_SHARE * areas.max()))
    while level + 1 < len(areas) and areas[level + 1] > areas[level]:
        level += 1
    floor = (low + (level - 1.5) * width) * up
    normal, point, share = _fitted(surfaces.points, weights, up, floor, unit_m)
    if share < _MIN_FLOOR:
        return up, low * up
    if normal @ up < np.cos(_MAX_FLOOR_TILT):  # levels of two heights
        return up, _fitted(surfaces.points, weights, up, floor, unit_m, is_turning=False)[1]
    return normal, point


def _fitted(
    points: Float64[np.ndarray, "n 3"],
    weights: Float64[np.ndarray, " n"],
    normal: Float64[np.ndarray, " 3"],
    point: Float64[np.ndarray, " 3"],
    unit_m: float,
    *,
    is_turning: bool = True,
) -> tuple[Float64[np.ndarray, " 3"], Float64[np.ndarray, " 3"], float]:
    """Return normal and point of the plane near a plane that has most weight close to it, and that weight."""
    share = 0.0
    for bell in _FLOOR_BELLS_M:
        for _ in range(_ROUNDS):
            near = weights * np.exp(-0.5 * ((points - point) @ normal * unit_m / bell) ** 2)
            share = float(near.sum())
            if share <= 0:
                return normal, point, share
            following, turned = near @ points / share, normal
            if is_turning:
                apart = points - following
                turned = np.linalg.eigh((apart * near[:, None]).T @ apart)[1][:, 0]
                turned = turned if turned @ normal > 0 else -turned
            moved = float(np.abs(turned - normal).max() + abs((following - point) @ normal) * unit_m)
            normal, point = turned, following
            if moved < _STILL:
                break
    return normal, point, share


def _longest(points: Float64[np.ndarray, "n 3"], weights: Float64[np.ndarray, " n"]) -> float:
    """Return the direction modulo 90 degrees of the largest spread along the ground."""
    xy = points[:, :2] - weights @ points[:, :2]
    first = np.linalg.eigh((xy * weights[:, None]).T @ xy)[1][:, 1]
    yaw = float(np.arctan2(first[1], first[0]))
    return (yaw + np.pi / 4) % (np.pi / 2) - np.pi / 4


def _canonical(
    xy: Float64[np.ndarray, "n 2"], weights: Float64[np.ndarray, " n"]
) -> tuple[Float64[np.ndarray, "3 3"], float]:
    """Return the flip that makes x the wider axis, and the longer tail of both that towards plus."""
    xy = xy - weights @ xy
    spreads = np.sqrt(weights @ xy**2)
    tails = weights @ xy**3 / np.maximum(spreads, 1e-12) ** 3
    order = [0, 1] if spreads[0] >= spreads[1] else [1, 0]
    flip = np.zeros((3, 3))
    flip[2, 2] = 1.0
    for row, axis in enumerate(order):
        flip[row, axis] = 1.0 if tails[axis] >= 0 else -1.0
    wider = abs(float(np.log(max(spreads[0], 1e-12) / max(spreads[1], 1e-12))))
    return flip, float(min(wider, *np.abs(tails)))
