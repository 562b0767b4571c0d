"""Depth maps from projected points and back. numpy arrays or torch tensors."""

from __future__ import annotations

from typing import Any

from jaxtyping import Float

from geom3d._arrays import ArrayT, check_last, constant_like, device_of, namespace, untyped
from geom3d.cameras import PinholeCamera, check_size, in_image, unproject


def depth_map_from_points(
    uv: Float[ArrayT, "n 2"], depth: Float[ArrayT, " n"], *, width: int, height: int
) -> Float[ArrayT, "h w"]:
    """Return the depth of the nearest point in each pixel, metres; 0 where there is none.

    A point belongs to the pixel (floor(u), floor(v)). Points outside the picture, behind the camera or NaN
    are left out. The result has the dtype of `depth`. Time n log n.

    Raises:
        ValueError: Wrong shapes, or a width or height that is not positive.

    Example:
        >>> import numpy as np
        >>> uv = np.array([[0.5, 0.5], [0.9, 0.1], [1.0, 0.0]])
        >>> depth_map_from_points(uv, np.array([5.0, 3.0, 7.0]), width=3, height=1)
        array([[3., 7., 0.]])
    """
    check_last(uv, 2, function="depth.depth_map_from_points", name="uv")
    check_size(width, height, function="depth.depth_map_from_points")
    pixels, values = untyped(uv), untyped(depth)
    if len(values.shape) != 1 or tuple(pixels.shape) != (values.shape[0], 2):
        raise ValueError(
            "depth.depth_map_from_points: expected uv [n, 2] and depth [n], "
            f"got {list(pixels.shape)} and {list(values.shape)}"
        )
    xp = namespace(pixels, values)
    visible = in_image(pixels, values, width=width, height=height)
    pixels, values = pixels[visible], values[visible]
    # Both are >= 0, so the cast to integers is the floor.
    cells = xp.astype(pixels[:, 1], xp.int64) * width + xp.astype(pixels[:, 0], xp.int64)
    # Sorted by cell and within it by depth, so that the nearest point of each cell comes first.
    by_depth = xp.argsort(values, stable=True)
    order = by_depth[xp.argsort(cells[by_depth], stable=True)]
    cells, values = cells[order], values[order]
    first = xp.concat([xp.ones_like(cells[:1], dtype=xp.bool), cells[1:] != cells[:-1]])
    result = xp.zeros(width * height, dtype=values.dtype, device=device_of(values))
    result[cells[first]] = values[first]
    return xp.reshape(result, (height, width))


def points_from_depth_map(depth_map: Float[ArrayT, "h w"], camera: PinholeCamera) -> Float[ArrayT, "n 3"]:
    """Return one point for each pixel with depth > 0, in the LiDAR frame of the camera, rows first.

    The point lies on the ray through the middle of the pixel (u + 0.5, v + 0.5), so points that went through
    `depth_map_from_points` come back moved by up to half a pixel. The result has the dtype of `depth_map`.

    Raises:
        ValueError: The map has not the height and width of the camera's picture.

    Example:
        >>> import numpy as np
        >>> camera = PinholeCamera(image_from_cam=np.eye(4)[:3], cam_from_lidar=np.eye(4), width=2, height=1)
        >>> points_from_depth_map(np.array([[0.0, 4.0]]), camera)
        array([[6., 2., 4.]])
    """
    values: Any = untyped(depth_map)
    if tuple(values.shape) != (camera.height, camera.width):
        raise ValueError(
            f"depth.points_from_depth_map: depth_map must have shape [{camera.height}, {camera.width}] "
            f"(the camera's picture), got {list(values.shape)}; use camera.resized or camera.cropped"
        )
    xp = namespace(values)
    rows, columns = xp.nonzero(values > 0)
    uv = xp.astype(xp.stack([columns, rows], axis=-1), values.dtype) + 0.5
    image_from_lidar = constant_like(camera.image_from_lidar, values)
    return unproject(uv, values[rows, columns], image_from_lidar)
