"""Readers of KITTI's scans and road planes. Every error names the file and the cure."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from geom3d.text import read_text
from jaxtyping import Float32, Float64

from datasets3d import _point_files
from datasets3d._point_files import InvalidPoints
from datasets3d.frame import POINT_COLUMNS


def read_points(
    path: Path | str,
    *,
    columns: Sequence[str] = POINT_COLUMNS,
    invalid_points: InvalidPoints = "error",
) -> Float32[np.ndarray, "n 4"]:
    """Read a scan: x y z in metres (LiDAR frame) and intensity; an empty file is a scan of zero points.

    Args:
        path: `<id>.bin`, little-endian float32, four numbers a point; or `.npy` of shape (n, 4), or `.pcd`.
            What a file is, its content says, not its name.
        columns: What the columns of the file are, where they are others than x y z intensity: nuScenes' scans
            have x y z intensity ring. `.pcd` files say it themselves.
        invalid_points: Points with NaN or infinite numbers are an error, or are dropped.

    Raises:
        FileNotFoundError: No such file.
        ValueError: The file is of another kind, has other columns, is damaged, or there are points that are
            not finite. Says what the file looks like.
    """
    points = _point_files.read_points(path, POINT_COLUMNS, stored=columns)
    finite = np.isfinite(points).all(axis=1)
    if finite.all():
        return points
    if invalid_points == "drop":
        return points[finite]
    raise ValueError(
        f"datasets3d.kitti: {path} holds {int((~finite).sum())} of {len(points)} points with NaN or infinite "
        "numbers; repair the file, or read with invalid_points='drop'"
    )


def read_road_plane(path: Path | str) -> Float64[np.ndarray, "4"] | None:
    """Read a road plane, a b c d in the rectified camera frame; None if there is no such file.

    The fourth line holds the numbers. Normalised to |(a, b, c)| = 1 with b < 0, so that the normal points up
    (the camera's y points down), whatever sign the file has.

    Raises:
        ValueError: No text, fewer than four lines, not four numbers, or a plane that stands upright (b = 0).
    """
    path = Path(path)
    if not path.is_file():
        return None
    lines = read_text(path).splitlines()
    try:
        a, b, c, d = (float(value) for value in lines[3].split())
    except (IndexError, ValueError):
        raise ValueError(
            f"datasets3d.kitti: {path} has no plane in line 4: expected four numbers a b c d, got "
            f"{lines[3][:60]!r}"
            if len(lines) > 3
            else f"datasets3d.kitti: {path} has {len(lines)} lines; expected the plane a b c d in line 4"
        ) from None
    norm = float(np.linalg.norm((a, b, c)))
    if not np.isfinite((norm, d)).all() or b == 0:
        raise ValueError(f"datasets3d.kitti: {path}: plane {a} {b} {c} {d} is no road: b must not be 0")
    return np.array([a, b, c, d]) / (norm if b < 0 else -norm)
