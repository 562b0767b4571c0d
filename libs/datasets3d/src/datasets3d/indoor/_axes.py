"""Which way is up in a scan of a room, and along which directions its walls run.

Every estimate is the end of a smooth iteration over all surfaces, hence the same, turned, for a turned scan;
only where an iteration starts is a choice among directions.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias, get_args

import numpy as np
from jaxtyping import Float64

from datasets3d.indoor._surfaces import Surfaces

UNITS_M = {"metres": 1.0, "centimetres": 0.01, "millimetres": 0.001}
"""Units that are told apart by the size of a room alone."""
INCH_M = 0.0254
USUAL_HEIGHT_M = 2.6
_STARTS, _JUDGES = 200, 6000
"""Normals that are tried as a main direction, and by how many others each is judged."""
_SHARP = 60.0
"""Of the bell over the angle between two directions; it is e times lower at 7 degrees."""
_SHARP_YAWS = (8.0, 40.0)
"""The same over four times the angle: e times lower at 7, then at 3 degrees."""
_ROUNDS, _STILL = 300, 1e-13
_FACING = 0.94
"""Cosine of 20 degrees: surfaces whose normals are closer to an axis face it."""
_EDGE = 0.06
"""The outer part of an extent, where floor, ceiling and walls are."""
_ONE_SIDED, _FULL_SIDE = 5.0, 0.12
"""A floor without a ceiling has so many times the area of what is opposite; a whole one this share of all."""
_FILE_UPS = (
    *((2, 1, 0.4), (1, 1, 0.2), (1, -1, 0.15)),
    *((2, -1, 0.1), (0, 1, 0.1), (0, -1, 0.1)),
)
"""Axis of the file, sign, and how much speaks for it as up before the points are looked at."""


UpAxis: TypeAlias = Literal["x", "-x", "y", "-y", "z", "-z"]
"""Axis of a file that points up."""
UP_AXES: tuple[UpAxis, ...] = get_args(UpAxis)


class Up(NamedTuple):
    """The direction that is up."""

    direction: Float64[np.ndarray, " 3"]
    margin: float
    """By how much more speaks for it than for the next; below 0.1 it is hardly more than a guess."""


def find_up(surfaces: Surfaces, known: UpAxis | None = None) -> Up:
    """Return which of the main directions of a room is up, near the mean normal of what is level.

    Speaks for a direction: that the room is so high, and less high than wide; a floor without a ceiling;
    things that stand on the floor; and the axes that files usually have.

    Args:
        surfaces: Of the scan.
        known: Axis of the file that is about up, if that is known: then the nearest direction is.
    """
    axes = main_axes(surfaces)
    ups = np.concatenate([axes, -axes])
    if known is not None:
        along = ups[:, "xyz".index(known[-1])] * (-1 if known[0] == "-" else 1)
        return Up(ups[int(np.argmax(along))], np.inf)
    scores = np.array([_speaks_for(surfaces, axes, up) for up in ups])
    order = np.argsort(-scores, kind="stable")
    return Up(ups[order[0]], float(scores[order[0]] - scores[order[1]]))


def main_axes(surfaces: Surfaces) -> Float64[np.ndarray, "3 3"]:
    """Return three right-angled directions that most of the area faces, the strongest last."""
    last = _main_direction(surfaces)
    frame = upright_frame(last)
    yaw, _ = wall_yaw(surfaces.normals @ frame.T, surfaces.weights)
    return turned_about_z(-yaw) @ frame


def upright_frame(up: Float64[np.ndarray, " 3"]) -> Float64[np.ndarray, "3 3"]:
    """Return a right-handed frame (rows) whose z is `up`, turned as little as can be from an axis-wise one.

    Of an `up` near z, x and y stay near x and y.
    """
    quarter = quarter_turn(up)
    return tilt_to_z(quarter @ up) @ quarter


def quarter_turn(up: Float64[np.ndarray, " 3"]) -> Float64[np.ndarray, "3 3"]:
    """Return the rotation by right angles that takes the axis nearest to `up` to z.

    Example:
        >>> (quarter_turn(np.array([0.1, 0.9, 0.0])) @ [0, 1, 0]).tolist()
        [0.0, 0.0, 1.0]
    """
    axis = int(np.argmax(np.abs(up)))
    sign = 1.0 if up[axis] > 0 else -1.0
    first, second, third = np.eye(3)
    rows = {
        (2, 1.0): (first, second, third),
        (2, -1.0): (first, -second, -third),
        (1, 1.0): (first, -third, second),  # as in OpenGL
        (1, -1.0): (first, third, -second),  # as in cameras
        (0, 1.0): (second, third, first),
        (0, -1.0): (third, second, -first),
    }
    return np.array(rows[axis, sign])


def tilt_to_z(up: Float64[np.ndarray, " 3"]) -> Float64[np.ndarray, "3 3"]:
    """Return the smallest rotation that takes `up` (of length 1, not -z) to z."""
    x, y, z = up
    cross = np.array([[0.0, 0.0, -x], [0.0, 0.0, -y], [x, y, 0.0]])
    return np.eye(3) + cross + cross @ cross / (1 + z)


def turned_about_z(yaw_rad: float) -> Float64[np.ndarray, "3 3"]:
    """Return the rotation by `yaw_rad` from x to y."""
    cos, sin = np.cos(yaw_rad), np.sin(yaw_rad)
    return np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])


def wall_yaw(normals: Float64[np.ndarray, "n 3"], weights: Float64[np.ndarray, " n"]) -> tuple[float, float]:
    """Return the direction of the walls in radians, in [-pi/4, pi/4], and how distinct it is.

    Args:
        normals: In a frame with z up.
        weights: Their areas.

    Returns:
        How distinct: the density of wall directions (modulo 90 degrees) there over the mean: 1 says nothing,
        7 is a room without anything aslant.
    """
    level = np.hypot(normals[:, 0], normals[:, 1])
    weights = weights * np.clip((level - 0.8) / 0.15, 0, 1)
    if weights.sum() <= 0:
        return 0.0, 1.0
    kept = weights > 0
    weights = weights[kept]
    angles = 4 * np.arctan2(normals[kept, 1], normals[kept, 0])
    bins = 720
    counts = np.bincount(((angles / (2 * np.pi) + 0.5) * bins).astype(np.int64) % bins, weights, bins)
    grid = ((np.arange(bins) + 0.5) / bins - 0.5) * 2 * np.pi
    heights = np.exp(_SHARP_YAWS[0] * (np.cos(grid[:, None] - grid) - 1)) @ counts
    top = float(grid[int(np.argmax(heights))])
    directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    direction = np.array([np.cos(top), np.sin(top)])
    for sharp in _SHARP_YAWS:
        for _ in range(_ROUNDS):
            following = (weights * np.exp(sharp * (directions @ direction - 1))) @ directions
            following /= np.linalg.norm(following)
            moved, direction = float(np.abs(following - direction).max()), following
            if moved < _STILL:
                break
    return float(np.arctan2(direction[1], direction[0])) / 4, float(heights.max() / heights.mean())


def extent(
    values: Float64[np.ndarray, " n"], weights: Float64[np.ndarray, " n"], *, tail: float = 0.01
) -> tuple[float, float]:
    """Return the ends of values, without this share of the weight at either; symmetric in the sign."""
    order = np.argsort(values, kind="stable")
    sums = np.cumsum(weights[order])
    low, high = np.interp([tail, 1 - tail], (sums - weights[order] / 2) / sums[-1], values[order])
    return float(low), float(high)


def nearest_unit(height: float, width: float) -> str:
    """Return the name of the unit in which a room is most like others, in doubt metres.

    Example:
        >>> nearest_unit(2.5, 5.0), nearest_unit(2500.0, 5000.0), nearest_unit(0.9, 2.0)
        ('metres', 'millimetres', 'metres')
    """

    def oddity(name: str) -> float:
        unit = UNITS_M[name]
        is_high, is_wide = np.log(height * unit / USUAL_HEIGHT_M) / 0.5, np.log(width * unit / 6.0)
        return float(is_high**2 + is_wide**2 + (name != "metres"))

    return min(UNITS_M, key=oddity)


def _main_direction(surfaces: Surfaces) -> Float64[np.ndarray, " 3"]:
    normals, weights = surfaces.normals, surfaces.weights
    best = np.argsort(-weights, kind="stable")[: len(normals) // 2]
    starts = normals[best[:: max(1, len(best) // _STARTS)]]
    judges = slice(None, None, max(1, len(normals) // _JUDGES))
    scores = np.exp(_SHARP * ((starts @ normals[judges].T) ** 2 - 1)) @ weights[judges]
    direction = starts[int(np.argmax(scores))]
    for _ in range(_ROUNDS):
        near = weights * np.exp(_SHARP * ((normals @ direction) ** 2 - 1))
        following = np.linalg.eigh((normals * near[:, None]).T @ normals)[1][:, 2]
        following = following if following @ direction > 0 else -following
        moved, direction = float(np.abs(following - direction).max()), following
        if moved < _STILL:
            break
    return direction


def _speaks_for(surfaces: Surfaces, axes: Float64[np.ndarray, "3 3"], up: Float64[np.ndarray, " 3"]) -> float:
    """Return how much speaks for a direction; every part is 1 or so at most."""
    weights = surfaces.weights
    faces = np.abs(surfaces.normals @ up) > _FACING
    sizes: list[float] = []
    is_wall = np.zeros(len(weights), bool)
    for axis in axes:
        if abs(axis @ up) < 0.5:
            size, share = _shares(surfaces.points @ axis, weights)
            sizes.append(size)
            facing = np.abs(surfaces.normals @ axis) > _FACING
            is_wall |= facing & (np.abs(share - 0.5) > 0.5 - _EDGE)
    height, share = _shares(surfaces.points @ up, weights)
    is_high = max(_is_usual(height * unit) for unit in _units_like(nearest_unit(height, max(sizes))))
    is_thin = np.clip(np.log(np.mean(sizes) / height), -0.6, 0.6)
    bottom = float(weights[faces & (share < _EDGE)].sum())
    top = float(weights[faces & (share > 1 - _EDGE)].sum())
    is_inside = np.abs(share - 0.5) <= 0.5 - _EDGE
    below, above = (float(weights[is_inside & half].sum()) for half in (share < 0.5, share >= 0.5))
    low, high = (float(weights[is_inside & half & ~is_wall].sum()) for half in (share < 0.5, share >= 0.5))
    stands = np.clip(np.log(max(below, 1e-3) / max(above, 1e-3)), -0.5, 0.5) + (low - high) / (
        low + high + 0.05
    )
    is_open = _one_sided(bottom, top) + 0.2 * _one_sided(top, bottom)
    usual = max(prior * np.clip((sign * up[axis] - 0.8) / 0.15, 0, 1) for axis, sign, prior in _FILE_UPS)
    return float(usual + 0.25 * is_thin + is_high + 1.5 * is_open + stands)


def _units_like(name: str) -> tuple[float, ...]:
    """Return a unit, and what might be taken for it: a room of 100 inches is no room of 100 centimetres."""
    return (UNITS_M[name], INCH_M) if name == "centimetres" else (UNITS_M[name],)


def _is_usual(height_m: float) -> float:
    """Return how usual a room so high is: 0, or down to -2."""
    return -min((float(np.log(height_m / USUAL_HEIGHT_M)) / 0.3) ** 2, 4.0) / 2


def _shares(
    values: Float64[np.ndarray, " n"], weights: Float64[np.ndarray, " n"]
) -> tuple[float, Float64[np.ndarray, " n"]]:
    """Return the extent of values, above 0, and where in it (0..1) each lies."""
    low, high = extent(values, weights)
    size = max(high - low, 1e-12)
    return size, (values - low) / size


def _one_sided(bottom: float, top: float) -> float:
    """Return how much the areas of both ends look like a floor without a ceiling, 0..1."""
    if bottom <= _ONE_SIDED * top:
        return 0.0
    return (1 - _ONE_SIDED * top / bottom) * min(bottom / _FULL_SIDE, 1.0)
