"""LiDAR files of nuScenes: `.pcd.bin`, five float32 a point."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float32

from datasets3d import _atomic
from datasets3d._validate import check_array

LIDAR_FIELDS = ("x", "y", "z", "intensity", "ring")
"""x y z: metres, LiDAR frame (x right, y forward, z up); intensity 0..255; ring: the beam, 0 the lowest."""
_POINT_BYTES = 4 * len(LIDAR_FIELDS)


def read_lidar(path: Path | str) -> Float32[np.ndarray, "n 5"]:
    """Read a sweep, columns as in `LIDAR_FIELDS`; an empty file is a sweep of zero points.

    Raises:
        FileNotFoundError: No such file.
        ValueError: The size is no multiple of 20 bytes, or there are numbers that are not finite.
    """
    count = count_points(path)
    points = np.fromfile(path, dtype="<f4").reshape(count, len(LIDAR_FIELDS)).astype(np.float32, copy=False)
    lost = int((~np.isfinite(points).all(axis=1)).sum())
    if lost:
        raise ValueError(
            f"datasets3d.nuscenes: {path}: {lost} of {count} points hold NaN or infinite numbers; "
            "copy it again"
        )
    return points


def count_points(path: Path | str) -> int:
    """Return the number of points of a sweep from the file's size, without reading it.

    Raises:
        FileNotFoundError: No such file.
        ValueError: The size is no multiple of 20 bytes.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"datasets3d.nuscenes: no LiDAR file {path}; expected the official tree")
    size = path.stat().st_size
    if size % _POINT_BYTES:
        raise ValueError(
            f"datasets3d.nuscenes: {path} has {size} bytes, not a multiple of {_POINT_BYTES} (float32 x y z "
            "intensity ring): the file is cut short or holds other columns; copy it again"
        )
    return size // _POINT_BYTES


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
