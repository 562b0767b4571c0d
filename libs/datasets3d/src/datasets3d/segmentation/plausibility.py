"""What is likely wrong with the coordinates and intensities of a scan: units, axes, scales."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64

MIN_POINTS = 200
"""Fewer prove nothing."""
MAX_REACH_M = 1000.0
"""Distance of all but the farthest points from their middle; LiDARs on cars reach 250 m."""
MAX_FLATNESS = 0.5
"""z is taken for an axis along the ground if another axis spans less than this part of it."""
_OFF_CENTRE = 5.0
"""A scan whose middle is so many times its own reach away from the origin has its origin elsewhere."""
_SHARE = 0.01
_UPS: dict[str, tuple[tuple[int, int, int], ...]] = {
    "x": ((0, 1, 0), (0, 0, 1), (1, 0, 0)),
    "-x": ((0, 0, 1), (0, 1, 0), (-1, 0, 0)),
    "y": ((0, 0, -1), (-1, 0, 0), (0, 1, 0)),
    "-y": ((0, 0, 1), (-1, 0, 0), (0, -1, 0)),
}
"""New axes by the one that points up, as rotations; y as in OpenGL, -y as in cameras."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanMistake:
    """Something that a scan seems to have wrong, and what would repair it."""

    kind: str
    """`unit`, `origin`, `axis` or `intensity`."""
    text: str
    """What seems wrong, for people."""
    turn: tuple[tuple[int, int, int], ...] = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
    """Rows are the new axes."""
    shift_m: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Subtracted from x y z, before all else."""
    unit_m: float = 1.0
    """Metres in the unit of x y z."""
    intensity_scale: float = 1.0
    """The intensity that becomes 1."""


def find_mistakes(points: Float32[np.ndarray, "n c"]) -> tuple[ScanMistake, ...]:
    """Return what seems wrong with the points x y z intensity of a whole scan, in the order of the repairs.

    Looks for the origin of a map, millimetres, another axis than z up, and intensities beyond 1. A scan of a
    sensor that lies on its side cannot be told from one with other axes. Nothing is said of fewer than
    `MIN_POINTS` points; those that are not finite do not count.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> road = np.column_stack([rng.normal(0, 20, (500, 2)), rng.normal(-1.7, 0.1, 500), rng.random(500)])
        >>> find_mistakes(road.astype(np.float32))
        ()
        >>> found = find_mistakes((road * [1e3, 1e3, 1e3, 255]).astype(np.float32))
        >>> tuple(mistake.kind for mistake in found)
        ('unit', 'intensity')
    """
    kept = points[np.isfinite(points).all(axis=1)].astype(np.float64)
    if len(kept) < MIN_POINTS:
        return ()
    found: list[ScanMistake] = []
    xyz = kept[:, :3]
    middle = np.median(xyz, axis=0)
    reach = float(np.quantile(np.linalg.norm(xyz - middle, axis=1), 1 - _SHARE))
    away = float(np.linalg.norm(middle))
    if away > max(_OFF_CENTRE * reach, MAX_REACH_M):
        shift = tuple(np.round(middle).tolist())
        found.append(
            ScanMistake(
                kind="origin",
                text=f"the points lie {away:.0f} from the origin: it must be the sensor, not that of a map",
                shift_m=(shift[0], shift[1], shift[2]),
            )
        )
        xyz = xyz - shift
    if reach > MAX_REACH_M:
        found.append(
            ScanMistake(
                kind="unit",
                text=f"the points reach {reach:.0f} far: coordinates must be metres; millimetres?",
                unit_m=0.001,
            )
        )
    found += _axis(xyz, sensor_is_origin=not any(mistake.kind == "origin" for mistake in found))
    found += _intensity(kept)
    return tuple(found)


def repair(points: Float32[np.ndarray, "n c"], mistakes: Sequence[ScanMistake]) -> Float32[np.ndarray, "n c"]:
    """Return the points without these mistakes; columns behind the fourth stay as they are.

    Example:
        >>> points = np.array([[0, 0, 1000, 51]], np.float32)
        >>> millimetres = ScanMistake(kind="unit", text="", unit_m=0.001)
        >>> repair(points, [millimetres]).tolist()
        [[0.0, 0.0, 1.0, 51.0]]
    """
    fixed = points.astype(np.float64)
    for mistake in mistakes:
        turn = np.array(mistake.turn, np.float64)
        fixed[:, :3] = (fixed[:, :3] - mistake.shift_m) @ turn.T * mistake.unit_m
        if mistake.intensity_scale != 1.0:
            fixed[:, 3] /= mistake.intensity_scale
    return fixed.astype(np.float32)


def _axis(xyz: Float64[np.ndarray, "n 3"], *, sensor_is_origin: bool) -> list[ScanMistake]:
    low, high = np.quantile(xyz, (_SHARE, 1 - _SHARE), axis=0)
    spans = high - low
    flat = int(np.argmin(spans))
    if flat == 2 or spans[flat] >= MAX_FLATNESS * spans[2]:
        return []
    middle = float(np.median(xyz[:, flat]))
    # Most points lie on the ground: below the sensor, and below the middle of what there is.
    is_up = middle < 0 if sensor_is_origin else high[flat] - middle > middle - low[flat]
    up = ("" if is_up else "-") + "xy"[flat]
    return [
        ScanMistake(
            kind="axis",
            text=f"heights span as much as the ground: z must be up; here it seems to be {up}",
            turn=_UPS[up],
        )
    ]


def _intensity(points: Float64[np.ndarray, "n c"]) -> list[ScanMistake]:
    greatest = float(points[:, 3].max()) if points.shape[1] > 3 else 0.0
    if greatest <= 1.0:
        return []
    scale = 255.0 if greatest <= 255.0 else 65535.0
    return [
        ScanMistake(
            kind="intensity",
            text=f"intensities reach {greatest:g}: 0..1 is expected; divide by {scale:.0f}",
            intensity_scale=scale,
        )
    ]
