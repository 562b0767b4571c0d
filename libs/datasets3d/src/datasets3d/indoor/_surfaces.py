"""The surfaces of a scan, by a bounded number of its points: normals, and the area that each stands for.

All that is said of a room follows from these. They turn with the points: rows are drawn by their number,
never by a grid, so that a turned, scaled or mirrored copy of a scan gives such a copy of the surfaces.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Integer, Real

MAX_SAMPLE = 60_000
"""Points that are looked at; more only take longer."""
MIN_POINTS = 200
"""Fewer prove nothing."""
_NEIGHBOURS = 20
_MAX_AREA = 4.0
"""A point stands for at most so many times the usual area: what is more is that of strays."""
_STRAY_SHARE = 0.02
_STRAY_REACH = 1.5
"""Strays lie farther from the middle than so many times the reach of all but this share of the points."""
_MIN_THICKNESS = 1e-4
"""Points whose spread across is less than this part of that along lie on one line."""


class Surfaces(NamedTuple):
    """Points on the surfaces of a scan, in its own axes and its own unit."""

    points: Float64[np.ndarray, "n 3"]
    """Relative to `middle`."""
    normals: Float64[np.ndarray, "n 3"]
    """Of length 1; their sign has no meaning."""
    weights: Float64[np.ndarray, " n"]
    """Area that a point stands for, less where the surface is not flat; they sum to 1."""
    middle: Float64[np.ndarray, " 3"]
    """Mean of the points, those far away left out."""
    reach: float
    """Points farther from the middle are strays."""
    stray_share: float
    """Of the points."""
    density: float
    """Points of the whole scan per square of its unit, median over its surfaces."""


def sample_surfaces(points: Real[np.ndarray, "n 3"]) -> Surfaces | None:
    """Return the surfaces of a scan; None of fewer than `MIN_POINTS` different points, or points on a line.

    Points that are not finite do not count.
    """
    drawn = _drawn(len(points))
    chosen = points[drawn].astype(np.float64)
    chosen = chosen[np.isfinite(chosen).all(axis=1)]
    if len(chosen) < MIN_POINTS:
        return None
    middle, reach = _ball(chosen)
    stray = is_stray(chosen, middle, reach)
    kept = _different(chosen[~stray] - middle)
    if len(kept) < MIN_POINTS or _is_line(kept):
        return None
    normals, flatness, radii = _planes(kept)
    usual = float(np.median(radii))
    weights = np.minimum(radii / usual, _MAX_AREA) ** 2 * flatness
    if not weights.any():
        return None
    return Surfaces(
        points=kept,
        normals=normals,
        weights=weights / weights.sum(),
        middle=middle,
        reach=reach,
        stray_share=float(stray.mean()),
        density=(_NEIGHBOURS - 2) / (np.pi * usual**2) * len(points) / len(drawn),
    )


def is_stray(
    points: Real[np.ndarray, "n 3"], middle: Float64[np.ndarray, " 3"], reach: float
) -> Bool[np.ndarray, " n"]:
    """Mark the points farther than `reach` from the middle, and those that are not finite."""
    x, y, z = (points[:, axis] - middle[axis] for axis in range(3))
    return ~(x * x + y * y + z * z <= reach * reach)


def _drawn(count: int) -> Integer[np.ndarray, " k"]:
    if count <= MAX_SAMPLE:
        return np.arange(count)
    rng = np.random.default_rng(0)
    return np.sort(rng.choice(count, MAX_SAMPLE, replace=False, shuffle=False))


def _ball(points: Float64[np.ndarray, "n 3"]) -> tuple[Float64[np.ndarray, " 3"], float]:
    """Return the middle, and how far from it points may lie; neither depends on the axes."""
    middle = np.median(points, axis=0)
    for _ in range(20):  # the median depends on them; what it starts does not
        distance = np.linalg.norm(points - middle, axis=1)
        reach = float(np.quantile(distance, 1 - _STRAY_SHARE))
        middle = points[distance <= reach].mean(axis=0)
    distance = np.linalg.norm(points - middle, axis=1)
    return middle, _STRAY_REACH * float(np.quantile(distance, 1 - _STRAY_SHARE))


def _different(points: Float64[np.ndarray, "n 3"]) -> Float64[np.ndarray, "k 3"]:
    """Return points that occur repeatedly once, in their order."""
    _, first = np.unique(points, axis=0, return_index=True)
    return points[np.sort(first)]


def _is_line(points: Float64[np.ndarray, "n 3"]) -> bool:
    spreads = np.sqrt(np.maximum(np.linalg.eigvalsh(np.cov(points.T)), 0))
    return bool(spreads[1] <= _MIN_THICKNESS * spreads[2])


def _planes(
    points: Float64[np.ndarray, "n 3"],
) -> tuple[Float64[np.ndarray, "n 3"], Float64[np.ndarray, " n"], Float64[np.ndarray, " n"]]:
    """Return normals, how flat the surroundings of every point are (0..1), and their radius."""
    from scipy.spatial import KDTree

    distances, rows = KDTree(points).query(points, k=_NEIGHBOURS)
    around = points[rows] - points[:, None]
    around -= around.mean(axis=1, keepdims=True)
    variances, axes = np.linalg.eigh(np.einsum("nki,nkj->nij", around, around))
    low, middle = np.maximum(variances[:, 0], 0), variances[:, 1]
    ratio = np.divide(low, middle, out=np.ones(len(points)), where=middle > 0)
    return axes[:, :, 0], np.clip(1 - 4 * ratio, 0, 1), distances[:, -1]
