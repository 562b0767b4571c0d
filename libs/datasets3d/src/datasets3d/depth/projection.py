"""Points of any sensor in a picture, and the sparse depth maps they leave, by the rules of the released code.

All arithmetic is float64; maps are float32. Integer pixels are truncated coordinates: the pixel (u, v) covers
[u, u + 1) x [v, v + 1). Points are written in the order given and later ones overwrite earlier ones, however
far away they are: not the nearest wins, but the last. Source: `dataset.py` of the release, spec section 4.3.
"""

from __future__ import annotations

import numpy as np
from geom3d import cameras
from jaxtyping import Bool, Float32, Float64


def project(
    points_cam: Float64[np.ndarray, "n 3"], intrinsic: Float64[np.ndarray, "3 3"]
) -> tuple[Float64[np.ndarray, "n 2"], Float64[np.ndarray, " n"]]:
    """Return pixels u v and depths z of points in the camera frame (x right, y down, z forward, metres).

    The division by z is not guarded: points behind the camera land mirrored in the picture, with negative
    depth, as in the released code. A point at depth exactly 0 has no pixel: NaN, which is on no canvas.

    Example:
        >>> uv, depth = project(np.array([[1.0, 2.0, 4.0], [1.0, 2.0, -4.0]]), np.eye(3))
        >>> uv.tolist(), depth.tolist()
        ([[0.25, 0.5], [-0.25, -0.5]], [4.0, -4.0])
    """
    uv, depth = cameras.project(points_cam, np.column_stack([intrinsic, np.zeros(3)]))
    uv[depth == 0] = np.nan
    return uv, depth


def on_canvas(
    uv: Float64[np.ndarray, "n 2"], *, width: int, height: int, margin_px: float = 0.0
) -> Bool[np.ndarray, " n"]:
    """Mark pixels with 0 <= u < width and 0 <= v < height, whatever the depth; NaN is outside.

    Args:
        margin_px: Widens the canvas on all four sides.
    """
    low = uv >= -margin_px
    high = uv < np.array([width, height]) + margin_px
    return np.asarray((low & high).all(axis=1))


def point_map(
    uv: Float64[np.ndarray, "n 2"], depth_m: Float64[np.ndarray, " n"], *, width: int, height: int
) -> Float32[np.ndarray, "h w"]:
    """Write each point's depth to its pixel; 0 where there is none. Points outside the canvas are dropped.

    Example:
        >>> uv = np.array([[0.9, 0.0], [0.1, 0.5], [2.0, 0.0]])
        >>> point_map(uv, np.array([5.0, 9.0, 7.0]), width=2, height=1).tolist()
        [[9.0, 0.0]]
    """
    inside = on_canvas(uv, width=width, height=height)
    columns, rows = uv[inside].astype(np.int64).T
    canvas = np.zeros((height, width), np.float32)
    # Of equal indices numpy keeps the last value.
    canvas[rows, columns] = depth_m[inside]
    return canvas


def column_map(
    uv: Float64[np.ndarray, "n 2"], depth_m: Float64[np.ndarray, " n"], *, width: int, height: int
) -> Float32[np.ndarray, "h w"]:
    """Write each point's depth to its whole column: the radar's height is meaningless, so it is thrown away.

    A point outside the canvas is dropped, also one that is above or below it although its column would serve.
    No point: all 0 (the released code fails).

    Example:
        >>> column_map(np.array([[1.5, 0.0], [0.5, -0.1]]), np.array([5.0, 9.0]), width=2, height=2).tolist()
        [[0.0, 5.0], [0.0, 5.0]]
    """
    inside = on_canvas(uv, width=width, height=height)
    line = np.zeros(width, np.float32)
    line[uv[inside, 0].astype(np.int64)] = depth_m[inside]
    return np.tile(line, (height, 1))
