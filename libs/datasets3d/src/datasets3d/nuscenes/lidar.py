"""LiDAR files of nuScenes: `.pcd.bin`, five float32 a point."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float32

from datasets3d import _atomic
from datasets3d._point_files import read_points
from datasets3d._validate import check_array

LIDAR_FIELDS = ("x", "y", "z", "intensity", "ring")
"""x y z: metres, LiDAR frame (x right, y forward, z up); intensity 0..255; ring: the beam, 0 the lowest."""


def read_lidar(path: Path | str) -> Float32[np.ndarray, "n 5"]:
    """Read a sweep, columns as in `LIDAR_FIELDS`; an empty file is a sweep of zero points.

    Raises:
        FileNotFoundError: No such file.
        ValueError: The file is of another kind or has other columns, as four instead of five; or there are
            numbers that are not finite.
    """
    points = read_points(path, LIDAR_FIELDS)
    lost = int((~np.isfinite(points).all(axis=1)).sum())
    if lost:
        raise ValueError(
            f"datasets3d.nuscenes: {path}: {lost} of {len(points)} points hold NaN or infinite numbers; "
            "copy it again"
        )
    return points


def write_lidar(path: Path | str, points: Float32[np.ndarray, "n 5"]) -> None:
    """Write a sweep as the official files are.

    Raises:
        TypeError: The points are no float32 array.
        ValueError: They have other columns than `LIDAR_FIELDS`, or numbers that are not finite.
    """
    check_array("write_lidar: points", points, np.float32, (None, len(LIDAR_FIELDS)))
    if not np.isfinite(points).all():
        raise ValueError("write_lidar: points hold NaN or infinite numbers")
    _atomic.write_bytes(Path(path), points.astype("<f4").tobytes())
