"""Boxes `x y z dx dy dz yaw`: metres, geometric centre, z up, yaw counter-clockwise from +x in radians.

All functions are pure, take numpy arrays or torch tensors (and return the same kind, dtype and device),
accept any number of leading dimensions, including empty ones, and are differentiable under torch unless they
return booleans.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from jaxtyping import Bool, Float

from geom3d._arrays import (
    ArrayT,
    check_boxes,
    check_last,
    check_matrix,
    constant_like,
    namespace,
    promote,
    untyped,
)
from geom3d.angles import wrap_angle

# Signs of the half edges at the four corners of a face, clockwise seen from above. Trained models depend on
# the order.
_CORNER_SIGNS_XY = ((1.0, 1.0), (1.0, -1.0), (-1.0, -1.0), (-1.0, 1.0))
_CORNER_SIGNS = tuple((x, y, z) for z in (-1.0, 1.0) for x, y in _CORNER_SIGNS_XY)


def corners(boxes: Float[ArrayT, "*n 7"]) -> Float[ArrayT, "*n 8 3"]:
    """Return the eight corners of each box in the frame of the boxes, metres.

    Order, as signs of the half edges (dx, dy, dz) before the turn by yaw: (+,+,-) (+,-,-) (-,-,-) (-,+,-),
    then the same four with z +. Corners 0, 1, 4, 5 are at the front (+x at yaw 0).

    Raises:
        ValueError: The last dimension is not 7.

    Example:
        >>> import numpy as np
        >>> corners(np.array([1.0, 0.0, 0.0, 4.0, 2.0, 1.0, 0.0]))[0]
        array([ 3. ,  1. , -0.5])
    """
    check_boxes(boxes, function="boxes.corners")
    b: Any = untyped(boxes)
    half_edges = b[..., None, 3:6] * 0.5
    return from_canonical(constant_like(_CORNER_SIGNS, b) * half_edges, b)


def corners_bev(boxes: Float[ArrayT, "*n 7"]) -> Float[ArrayT, "*n 4 2"]:
    """Return the four corners x y of each box seen from above, in the order of `corners` (clockwise), metres.

    Raises:
        ValueError: The last dimension is not 7.

    Example:
        >>> import numpy as np
        >>> corners_bev(np.array([0.0, 0.0, 0.0, 4.0, 2.0, 1.0, 0.0])).tolist()
        [[2.0, 1.0], [2.0, -1.0], [-2.0, -1.0], [-2.0, 1.0]]
    """
    check_boxes(boxes, function="boxes.corners_bev")
    b: Any = untyped(boxes)
    local = constant_like(_CORNER_SIGNS_XY, b) * (b[..., None, 3:5] * 0.5)
    x, y = _turn(local[..., 0], local[..., 1], b[..., 6:7])
    return namespace(b).stack([x + b[..., 0:1], y + b[..., 1:2]], axis=-1)


def contains(
    points: Float[ArrayT, "n c"], boxes: Float[ArrayT, "m 7"], *, margin: float = 0.0
) -> Bool[ArrayT, "n m"]:
    """Mark which points lie in which boxes.

    Points and boxes share one frame. Faces belong to the box. Points with NaN are in no box; a box with a
    negative edge holds nothing. Time and memory grow with n * m.

    Args:
        points: x y z, metres; further columns (intensity, ...) are ignored.
        margin: Added to every half edge, metres; may be negative.

    Raises:
        ValueError: Fewer than 3 columns of points, or boxes without 7 columns.

    Example:
        >>> import numpy as np
        >>> box = np.array([[0.0, 0.0, 0.0, 2.0, 2.0, 2.0, 0.0]])
        >>> contains(np.array([[1.0, 0.0, 0.0], [1.1, 0.0, 0.0]]), box).tolist()
        [[True], [False]]
    """
    check_boxes(boxes, function="boxes.contains")
    p, b = untyped(points), untyped(boxes)
    if len(p.shape) != 2 or p.shape[1] < 3:
        raise ValueError(f"boxes.contains: points must have shape [n, 3 or more], got {list(p.shape)}")
    p, b = promote(p, b)
    xp = namespace(p)
    x, y = p[:, None, 0] - b[:, 0], p[:, None, 1] - b[:, 1]
    cos, sin = xp.cos(b[:, 6]), xp.sin(b[:, 6])
    half = b[:, 3:6] * 0.5 + margin
    inside = xp.abs(p[:, None, 2] - b[:, 2]) <= half[:, 2]
    inside = inside & (xp.abs(x * cos + y * sin) <= half[:, 0])
    return inside & (xp.abs(y * cos - x * sin) <= half[:, 1])


def flip_y(boxes: Float[ArrayT, "*n 7"]) -> Float[ArrayT, "*n 7"]:
    """Mirror the boxes at the x-z plane: y and yaw change sign. Its own inverse. Yaw is not wrapped.

    Example:
        >>> import numpy as np
        >>> flip_y(np.array([1.0, 2.0, 3.0, 4.0, 2.0, 1.0, 0.5]))
        array([ 1. , -2. ,  3. ,  4. ,  2. ,  1. , -0.5])
    """
    check_boxes(boxes, function="boxes.flip_y")
    b: Any = untyped(boxes)
    return _with_pose(b, x=b[..., 0], y=-b[..., 1], yaw=-b[..., 6])


def flip_x(boxes: Float[ArrayT, "*n 7"]) -> Float[ArrayT, "*n 7"]:
    """Mirror the boxes at the y-z plane: x changes sign, yaw becomes pi - yaw (not wrapped). Its own inverse.

    Example:
        >>> import numpy as np
        >>> flip_x(np.array([1.0, 2.0, 3.0, 4.0, 2.0, 1.0, 0.0])).round(4)
        array([-1.    ,  2.    ,  3.    ,  4.    ,  2.    ,  1.    ,  3.1416])
    """
    check_boxes(boxes, function="boxes.flip_x")
    b: Any = untyped(boxes)
    return _with_pose(b, x=-b[..., 0], y=b[..., 1], yaw=math.pi - b[..., 6])


def rotate_z(boxes: Float[ArrayT, "*n 7"], yaw_rad: float | Float[ArrayT, "*#n"]) -> Float[ArrayT, "*n 7"]:
    """Turn the boxes counter-clockwise about the z axis through the origin of their frame (yaw not wrapped).

    Args:
        yaw_rad: One angle for all, or one for each box.

    Example:
        >>> import numpy as np
        >>> rotate_z(np.array([1.0, 0.0, 0.0, 4.0, 2.0, 1.0, 0.0]), np.pi / 2).round(4)[[0, 1, 6]]
        array([0.    , 1.    , 1.5708])
    """
    check_boxes(boxes, function="boxes.rotate_z")
    b: Any = untyped(boxes)
    turn = constant_like(yaw_rad, b) if isinstance(yaw_rad, (int, float)) else untyped(yaw_rad)
    x, y = _turn(b[..., 0], b[..., 1], turn)
    return _with_pose(b, x=x, y=y, yaw=b[..., 6] + turn)


def scale(boxes: Float[ArrayT, "*n 7"], factor: float) -> Float[ArrayT, "*n 7"]:
    """Scale the scene about the origin of the frame: centres and edges are multiplied, yaw stays.

    Raises:
        ValueError: `factor` is not positive.

    Example:
        >>> import numpy as np
        >>> scale(np.array([1.0, 2.0, 3.0, 4.0, 2.0, 1.0, 0.5]), 2.0)
        array([2. , 4. , 6. , 8. , 4. , 2. , 0.5])
    """
    check_boxes(boxes, function="boxes.scale")
    if not factor > 0:
        raise ValueError(f"boxes.scale: factor must be positive, got {factor}; mirror with flip_x or flip_y")
    b: Any = untyped(boxes)
    return namespace(b).concat([b[..., :6] * factor, b[..., 6:]], axis=-1)


def translate(
    boxes: Float[ArrayT, "*n 7"], offset_xyz: Sequence[float] | Float[ArrayT, "*#n 3"]
) -> Float[ArrayT, "*n 7"]:
    """Move the boxes by x y z metres: one offset for all, or one for each box.

    Raises:
        ValueError: The offset does not have three components.

    Example:
        >>> import numpy as np
        >>> translate(np.array([1.0, 2.0, 3.0, 4.0, 2.0, 1.0, 0.5]), (1.0, 0.0, -1.0))
        array([2. , 2. , 2. , 4. , 2. , 1. , 0.5])
    """
    check_boxes(boxes, function="boxes.translate")
    b: Any = untyped(boxes)
    given = untyped(offset_xyz)
    offset = constant_like(given, b) if isinstance(offset_xyz, Sequence) else given
    check_last(offset, 3, function="boxes.translate", name="offset_xyz")
    return namespace(b).concat([b[..., :3] + offset, b[..., 3:]], axis=-1)


def transform(a_from_b: Float[ArrayT, "*#n 4 4"], boxes_b: Float[ArrayT, "*n 7"]) -> Float[ArrayT, "*n 7"]:
    """Express boxes given in frame b in frame a. Sizes stay; yaw lies in [-pi, pi].

    The heading is turned in space and then laid flat: where the z axes of the frames differ by a tilt, the
    result is the upright box. The transform must be rigid.

    Raises:
        ValueError: Wrong shapes.

    Example:
        >>> import numpy as np
        >>> a_from_b = np.array([[0.0, -1, 0, 5], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
        >>> transform(a_from_b, np.array([1.0, 0.0, 0.0, 4.0, 2.0, 1.0, 0.0])).round(4)
        array([5.    , 1.    , 0.    , 4.    , 2.    , 1.    , 1.5708])
    """
    check_matrix(a_from_b, ((4, 4),), function="boxes.transform", name="a_from_b")
    check_boxes(boxes_b, function="boxes.transform")
    matrix, b = promote(a_from_b, boxes_b)
    xp = namespace(b)
    centre = xp.sum(matrix[..., :3, :3] * b[..., None, :3], axis=-1) + matrix[..., :3, 3]
    cos, sin = xp.cos(b[..., 6]), xp.sin(b[..., 6])
    heading_x = matrix[..., 0, 0] * cos + matrix[..., 0, 1] * sin
    heading_y = matrix[..., 1, 0] * cos + matrix[..., 1, 1] * sin
    return xp.concat([centre, b[..., 3:6], xp.atan2(heading_y, heading_x)[..., None]], axis=-1)


def to_canonical(points: Float[ArrayT, "*m n 3"], boxes: Float[ArrayT, "*m 7"]) -> Float[ArrayT, "*m n 3"]:
    """Express points in the frame of their box: origin at its centre, x along its heading, in metres.

    Raises:
        ValueError: Points without 3 or boxes without 7 columns.

    Example:
        >>> import numpy as np
        >>> box = np.array([1.0, 1.0, 0.0, 4.0, 2.0, 1.0, np.pi / 2])
        >>> to_canonical(np.array([[1.0, 3.0, 0.0]]), box).round(4)
        array([[2., 0., 0.]])
    """
    check_last(points, 3, function="boxes.to_canonical", name="points")
    check_boxes(boxes, function="boxes.to_canonical")
    p, b = promote(points, boxes)
    p = p - b[..., None, :3]
    x, y = _turn(p[..., 0], p[..., 1], -b[..., 6:7])
    return namespace(p).stack([x, y, p[..., 2]], axis=-1)


def from_canonical(points: Float[ArrayT, "*m n 3"], boxes: Float[ArrayT, "*m 7"]) -> Float[ArrayT, "*m n 3"]:
    """Express points given in the frames of their boxes in the frame of the boxes: inverse of `to_canonical`.

    Raises:
        ValueError: Points without 3 or boxes without 7 columns.

    Example:
        >>> import numpy as np
        >>> box = np.array([1.0, 1.0, 0.0, 4.0, 2.0, 1.0, np.pi / 2])
        >>> from_canonical(np.array([[2.0, 0.0, 0.0]]), box).round(4)
        array([[1., 3., 0.]])
    """
    check_last(points, 3, function="boxes.from_canonical", name="points")
    check_boxes(boxes, function="boxes.from_canonical")
    p, b = promote(points, boxes)
    x, y = _turn(p[..., 0], p[..., 1], b[..., 6:7])
    return namespace(p).stack([x, y, p[..., 2]], axis=-1) + b[..., None, :3]


def volume(boxes: Float[ArrayT, "*n 7"]) -> Float[ArrayT, "*n"]:
    """Return dx * dy * dz, cubic metres.

    Example:
        >>> import numpy as np
        >>> float(volume(np.array([0.0, 0.0, 0.0, 4.0, 2.0, 1.5, 0.3])))
        12.0
    """
    check_boxes(boxes, function="boxes.volume")
    b: Any = untyped(boxes)
    return b[..., 3] * b[..., 4] * b[..., 5]


def bev_aabb(boxes: Float[ArrayT, "*n 7"]) -> Float[ArrayT, "*n 4"]:
    """Return the nearest axis-aligned box seen from above: x0 y0 x1 y1, metres.

    The yaw is rounded to a multiple of pi / 2: from pi / 4 on (included) the edges dx and dy swap. This is
    not the enclosing box; take the extremes of `corners_bev` for that.

    Example:
        >>> import numpy as np
        >>> bev_aabb(np.array([0.0, 0.0, 0.0, 4.0, 2.0, 1.0, 1.5]))
        array([-1., -2.,  1.,  2.])
    """
    check_boxes(boxes, function="boxes.bev_aabb")
    b: Any = untyped(boxes)
    xp = namespace(b)
    swapped = xp.abs(wrap_angle(b[..., 6], period=math.pi)) >= math.pi / 4
    half_x = xp.where(swapped, b[..., 4], b[..., 3]) * 0.5
    half_y = xp.where(swapped, b[..., 3], b[..., 4]) * 0.5
    x, y = b[..., 0], b[..., 1]
    return xp.stack([x - half_x, y - half_y, x + half_x, y + half_y], axis=-1)


def _turn(x: Any, y: Any, yaw_rad: Any) -> tuple[Any, Any]:
    """Rotate (x, y) counter-clockwise."""
    xp = namespace(x)
    cos, sin = xp.cos(yaw_rad), xp.sin(yaw_rad)
    return x * cos - y * sin, x * sin + y * cos


def _with_pose(boxes: Any, *, x: Any, y: Any, yaw: Any) -> Any:
    """Return the boxes with another x, y and yaw."""
    columns = [x, y, boxes[..., 2], boxes[..., 3], boxes[..., 4], boxes[..., 5], yaw]
    return namespace(boxes).stack(columns, axis=-1)
