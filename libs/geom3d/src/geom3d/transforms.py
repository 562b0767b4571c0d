"""Rigid and affine transforms: 4x4 matrices named `a_from_b` map b to a and chain as `a_from_b @ b_from_c`.

numpy arrays or torch tensors; the result has the promoted dtype of the arguments.
"""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np
from jaxtyping import Float

from geom3d._arrays import ArrayT, check_last, check_matrix, constant_like, namespace, promote, untyped

# |det| of a matrix whose rows are scaled to length 1 lies in [0, 1]; below this it is taken as singular.
_SINGULAR = 1e-9


def apply(a_from_b: Float[ArrayT, "*k 4 4"], points_b: Float[ArrayT, "*m n 3"]) -> Float[ArrayT, "*m n 3"]:
    """Express points given in frame b in frame a, metres. Leading dimensions broadcast.

    Raises:
        ValueError: Wrong shapes. Intensity and the like must be cut off first.

    Example:
        >>> import numpy as np
        >>> a_from_b = from_parts(rotation_z(np.pi / 2), np.array([10.0, 0.0, 0.0]))
        >>> apply(a_from_b, np.array([[1.0, 0.0, 0.0]])).round(4)
        array([[10.,  1.,  0.]])
    """
    check_matrix(a_from_b, ((4, 4),), function="transforms.apply", name="a_from_b")
    check_last(points_b, 3, function="transforms.apply", name="points_b")
    matrix, points = promote(a_from_b, points_b)
    rotation = namespace(matrix).matrix_transpose(matrix[..., :3, :3])
    return points @ rotation + matrix[..., None, :3, 3]


def invert(a_from_b: Float[ArrayT, "*k 4 4"]) -> Float[ArrayT, "*k 4 4"]:
    """Return b_from_a. The upper left 3x3 block may scale, mirror or shear; the last row must be 0 0 0 1.

    Raises:
        ValueError: Wrong shape, another last row, or a singular (or NaN) 3x3 block.

    Example:
        >>> import numpy as np
        >>> invert(from_parts(np.eye(3), np.array([1.0, 2.0, 3.0])))[:3, 3].tolist()
        [-1.0, -2.0, -3.0]
    """
    check_matrix(a_from_b, ((4, 4),), function="transforms.invert", name="a_from_b")
    matrix: Any = untyped(a_from_b)
    xp = namespace(matrix)
    if not bool(xp.all(matrix[..., 3, :] == constant_like([0.0, 0.0, 0.0, 1.0], matrix))):
        raise ValueError(
            "transforms.invert: the last row of a_from_b must be 0 0 0 1; projections have no inverse"
        )
    linear = invert_3x3(matrix[..., :3, :3], function="transforms.invert", name="a_from_b")
    translation = -(linear @ matrix[..., :3, 3:4])
    return from_parts(linear, translation[..., 0])


def compose(*matrices: Float[ArrayT, "*k 4 4"]) -> Float[ArrayT, "*k 4 4"]:
    """Return the product, so that `compose(a_from_b, b_from_c)` is a_from_c.

    Raises:
        ValueError: No matrix, or one that is not 4x4.

    Example:
        >>> import numpy as np
        >>> step = from_parts(np.eye(3), np.array([1.0, 0.0, 0.0]))
        >>> compose(step, step, step)[:3, 3].tolist()
        [3.0, 0.0, 0.0]
    """
    if not matrices:
        raise ValueError("transforms.compose: expected at least one matrix, got none")
    for index, matrix in enumerate(matrices):
        check_matrix(matrix, ((4, 4),), function="transforms.compose", name=f"matrix {index}")
    return reduce(lambda left, right: left @ right, promote(*matrices))


def from_parts(
    rotation: Float[ArrayT, "*k 3 3"], translation: Float[ArrayT, "*k 3"]
) -> Float[ArrayT, "*k 4 4"]:
    """Return the 4x4 matrix [rotation | translation], last row 0 0 0 1.

    Raises:
        ValueError: Wrong shapes.

    Example:
        >>> import numpy as np
        >>> from_parts(np.eye(3), np.array([1.0, 2.0, 3.0]))[0]
        array([1., 0., 0., 1.])
    """
    check_matrix(rotation, ((3, 3),), function="transforms.from_parts", name="rotation")
    check_last(translation, 3, function="transforms.from_parts", name="translation")
    linear, offset = promote(rotation, translation)
    xp = namespace(linear)
    top = xp.concat([linear, offset[..., None]], axis=-1)
    bottom = xp.broadcast_to(constant_like([[0.0, 0.0, 0.0, 1.0]], top), (*top.shape[:-2], 1, 4))
    return xp.concat([top, bottom], axis=-2)


def rotation_z(yaw_rad: float | Float[ArrayT, "*k"]) -> Any:
    """Return the 3x3 rotation counter-clockwise about z; a plain float gives a float64 numpy array.

    Example:
        >>> import math
        >>> (rotation_z(math.pi / 2) @ [1.0, 0.0, 0.0]).round(4).tolist()
        [0.0, 1.0, 0.0]
    """
    yaw: Any = np.asarray(yaw_rad, dtype=np.float64) if isinstance(yaw_rad, (int, float)) else yaw_rad
    xp = namespace(yaw)
    cos, sin = xp.cos(yaw), xp.sin(yaw)
    zero, one = xp.zeros_like(cos), xp.ones_like(cos)
    rows = [[cos, -sin, zero], [sin, cos, zero], [zero, zero, one]]
    return xp.stack([xp.stack(row, axis=-1) for row in rows], axis=-2)


def rotation_from_quaternion(quaternion_wxyz: Float[ArrayT, "*k 4"]) -> Float[ArrayT, "*k 3 3"]:
    """Return the rotation matrix of quaternions w x y z; they are normalised first.

    Raises:
        ValueError: The last dimension is not 4, or a quaternion has length 0 (or NaN).

    Example:
        >>> import numpy as np
        >>> rotation_from_quaternion(np.array([1.0, 0.0, 0.0, 0.0]))[1].tolist()
        [0.0, 1.0, 0.0]
    """
    check_last(quaternion_wxyz, 4, function="transforms.rotation_from_quaternion", name="quaternion_wxyz")
    q: Any = untyped(quaternion_wxyz)
    xp = namespace(q)
    norm = xp.sqrt(xp.sum(q * q, axis=-1, keepdims=True))
    if not bool(xp.all(norm > 0)):
        raise ValueError("transforms.rotation_from_quaternion: quaternion_wxyz holds one of length 0, or NaN")
    q = q / norm
    w, x, y, z = q[..., 0], q[..., 1], q[..., 2], q[..., 3]
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return xp.stack([xp.stack(row, axis=-1) for row in rows], axis=-2)


def invert_3x3(matrix: Any, *, function: str, name: str) -> Any:
    """Return the inverse of `[..., 3, 3]`; ValueError naming `function` where it is singular or NaN."""
    xp = namespace(matrix)
    regular = bool(xp.all(xp.isfinite(matrix)))
    if regular:
        lengths = xp.sqrt(xp.sum(matrix * matrix, axis=-1))
        determinant = xp.abs(xp.linalg.det(matrix))
        regular = bool(xp.all(determinant > _SINGULAR * xp.prod(lengths, axis=-1)))
    if not regular:
        raise ValueError(f"{function}: {name} is singular or holds NaN, so it cannot be inverted")
    return xp.linalg.inv(matrix)
