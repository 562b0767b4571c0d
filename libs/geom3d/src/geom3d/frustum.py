"""What a camera sees: masks of points, and frustums of image boxes. numpy arrays or torch tensors."""

from __future__ import annotations

from jaxtyping import Bool, Float

from geom3d._arrays import ArrayT, check_last, constant_like, namespace, untyped
from geom3d.cameras import PinholeCamera, in_image, project, unproject


def frustum_mask(
    points_lidar: Float[ArrayT, "n c"], camera: PinholeCamera, *, min_depth: float = 0.0
) -> Bool[ArrayT, " n"]:
    """Mark the points the camera sees: depth > min_depth (metres) and the pixel inside the picture.

    Points are x y z in the LiDAR frame of the camera; further columns are ignored. float32 points are
    projected in float32 under torch and in float64 under numpy.

    Raises:
        ValueError: Fewer than 3 columns.

    Example:
        >>> import numpy as np
        >>> camera = PinholeCamera(image_from_cam=np.eye(4)[:3], cam_from_lidar=np.eye(4), width=2, height=2)
        >>> frustum_mask(np.array([[1.0, 1.0, 1.0], [1.0, 1.0, -1.0]]), camera).tolist()
        [True, False]
    """
    points = untyped(points_lidar)
    if len(points.shape) != 2 or points.shape[1] < 3:
        raise ValueError(
            f"frustum.frustum_mask: points_lidar must have shape [n, 3 or more], got {list(points.shape)}"
        )
    uv, depth = project(points[:, :3], constant_like(camera.image_from_lidar, points))
    return in_image(uv, depth, width=camera.width, height=camera.height, min_depth=min_depth)


def frustum_of_box2d(
    boxes_image: Float[ArrayT, "m 4"], camera: PinholeCamera, *, near: float, far: float
) -> Float[ArrayT, "m 8 3"]:
    """Return the corners of the space behind image boxes between two depths, in the LiDAR frame, metres.

    Order: (x0, y0) (x1, y0) (x1, y1) (x0, y1) at depth `near`, then the same at depth `far`.

    Args:
        boxes_image: x0 y0 x1 y1, pixels.
        near: Depth in metres, more than 0.
        far: Depth in metres, more than `near`.

    Raises:
        ValueError: Not 4 columns, or not 0 < near < far.

    Example:
        >>> import numpy as np
        >>> camera = PinholeCamera(image_from_cam=np.eye(4)[:3], cam_from_lidar=np.eye(4), width=2, height=2)
        >>> frustum_of_box2d(np.array([[0.0, 0.0, 1.0, 1.0]]), camera, near=1.0, far=10.0)[0, 6].tolist()
        [10.0, 10.0, 10.0]
    """
    check_last(boxes_image, 4, function="frustum.frustum_of_box2d", name="boxes_image")
    if not 0 < near < far:
        raise ValueError(f"frustum.frustum_of_box2d: expected 0 < near < far, got near {near} and far {far}")
    boxes = untyped(boxes_image)
    xp = namespace(boxes)
    x0, y0, x1, y1 = (boxes[..., i] for i in range(4))
    face = xp.stack([xp.stack(pair, axis=-1) for pair in ((x0, y0), (x1, y0), (x1, y1), (x0, y1))], axis=-2)
    uv = xp.concat([face, face], axis=-2)
    depth = xp.broadcast_to(constant_like([near] * 4 + [far] * 4, boxes), tuple(uv.shape[:-1]))
    return unproject(uv, depth, constant_like(camera.image_from_lidar, boxes))
