"""nuScenes boxes: centre, width length height, quaternion w x y z. numpy arrays or torch tensors.

Boxes stay in their frame (global in the tables, LiDAR or camera in derived files); move them with
`boxes.transform`. nuScenes LiDAR: x right, y forward, z up. Its length runs along the heading, so dx = length
and dy = width.
"""

from __future__ import annotations

from typing import Any

from jaxtyping import Float

from geom3d._arrays import ArrayT, check_boxes, check_last, namespace, promote, untyped
from geom3d.transforms import rotation_from_quaternion


def boxes_from_nuscenes(
    translation: Float[ArrayT, "*n 3"],
    size_wlh: Float[ArrayT, "*n 3"],
    quaternion_wxyz: Float[ArrayT, "*n 4"],
) -> Float[ArrayT, "*n 7"]:
    """Return boxes from the columns of `sample_annotation`, in their frame. Yaw lies in [-pi, pi].

    Yaw is the direction of the turned x axis seen from above; roll and pitch are dropped.

    Args:
        translation: Geometric centre, metres.
        size_wlh: Width, length, height, metres.

    Raises:
        ValueError: Wrong shapes, or a quaternion of length 0.

    Example:
        >>> import numpy as np
        >>> centre, size = np.array([[1.0, 2.0, 3.0]]), np.array([[2.0, 4.0, 1.5]])
        >>> boxes_from_nuscenes(centre, size, np.array([[1.0, 0.0, 0.0, 1.0]])).round(4)
        array([[1.    , 2.    , 3.    , 4.    , 2.    , 1.5   , 1.5708]])
    """
    name = "nuscenes.boxes_from_nuscenes"
    check_last(translation, 3, function=name, name="translation")
    check_last(size_wlh, 3, function=name, name="size_wlh")
    check_last(quaternion_wxyz, 4, function=name, name="quaternion_wxyz")
    centre, size, quaternion = promote(translation, size_wlh, quaternion_wxyz)
    xp = namespace(centre)
    rotation = rotation_from_quaternion(quaternion)
    yaw = xp.atan2(rotation[..., 1, 0], rotation[..., 0, 0])
    sizes = xp.stack([size[..., 1], size[..., 0], size[..., 2]], axis=-1)
    return xp.concat([centre, sizes, yaw[..., None]], axis=-1)


def boxes_to_nuscenes(
    boxes: Float[ArrayT, "*n 7"],
) -> tuple[Float[ArrayT, "*n 3"], Float[ArrayT, "*n 3"], Float[ArrayT, "*n 4"]]:
    """Return translation, size_wlh and quaternion_wxyz: inverse of `boxes_from_nuscenes` for upright boxes.

    Raises:
        ValueError: Not 7 columns.

    Example:
        >>> import numpy as np
        >>> boxes_to_nuscenes(np.array([[1.0, 2.0, 3.0, 4.0, 2.0, 1.5, 0.0]]))[1].tolist()
        [[2.0, 4.0, 1.5]]
    """
    check_boxes(boxes, function="nuscenes.boxes_to_nuscenes")
    b: Any = untyped(boxes)
    xp = namespace(b)
    size = xp.stack([b[..., 4], b[..., 3], b[..., 5]], axis=-1)
    half = b[..., 6] * 0.5
    zero = xp.zeros_like(half)
    return b[..., :3], size, xp.stack([xp.cos(half), zero, zero, xp.sin(half)], axis=-1)
