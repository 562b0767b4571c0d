"""Shared plumbing: find the array library of the arguments and check their shapes."""

from __future__ import annotations

from typing import Any, TypeVar

import array_api_compat
import numpy as np

# Its types name every supported library, installed or not, so a strict checker cannot resolve them.
_compat: Any = array_api_compat

# One kind of array per call: numpy in, numpy out; torch in, torch out.
ArrayT = TypeVar("ArrayT")

BOX_SIZE = 7


def namespace(*arrays: object) -> Any:
    """Return the array-API namespace of the arguments (numpy's or torch's), without importing either.

    Raises:
        TypeError: The arguments come from different libraries, or are no arrays.
    """
    try:
        return _compat.array_namespace(*arrays)
    except TypeError as error:
        kinds = ", ".join(sorted({f"{type(a).__module__}.{type(a).__name__}" for a in arrays}))
        raise TypeError(
            f"geom3d: expected arrays of one library (all numpy or all torch), got {kinds}; convert them"
        ) from error


def device_of(array: Any) -> Any:
    """Return the device an array lives on, in the terms of its library."""
    return _compat.device(array)


def constant_like(value: object, like: Any) -> Any:
    """Return `value` as an array of the library, dtype and device of `like`."""
    xp = namespace(like)
    return xp.asarray(value, dtype=like.dtype, device=device_of(like))


def promote(*arrays: Any) -> list[Any]:
    """Return the arrays cast to their common dtype (torch does not promote in matrix products)."""
    xp = namespace(*arrays)
    dtype = xp.result_type(*arrays)
    return [xp.astype(array, dtype, copy=False) for array in arrays]


def check_boxes(boxes: Any, *, function: str) -> None:
    """Raise ValueError unless the last dimension of `boxes` is 7."""
    if len(boxes.shape) == 0 or boxes.shape[-1] != BOX_SIZE:
        raise ValueError(
            f"{function}: boxes must have shape [..., 7] (x y z dx dy dz yaw), got {list(boxes.shape)}; "
            "cut velocities, scores or labels off first"
        )


def check_last(array: Any, size: int, *, function: str, name: str) -> None:
    """Raise ValueError unless the last dimension of `array` is `size`."""
    if len(array.shape) == 0 or array.shape[-1] != size:
        raise ValueError(f"{function}: {name} must have shape [..., {size}], got {list(array.shape)}")


def check_matrix(matrix: Any, shapes: tuple[tuple[int, int], ...], *, function: str, name: str) -> None:
    """Raise ValueError unless the last two dimensions of `matrix` are one of `shapes`."""
    if tuple(matrix.shape[-2:]) not in shapes:
        wanted = " or ".join(f"[..., {rows}, {columns}]" for rows, columns in shapes)
        raise ValueError(f"{function}: {name} must have shape {wanted}, got {list(matrix.shape)}")


def finite_matrix(
    value: object, shape: tuple[int, int], *, function: str, name: str
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return a float64 copy of `value`; ValueError unless it has the shape and only finite numbers."""
    matrix = np.array(value, dtype=np.float64)
    if matrix.shape != shape:
        raise ValueError(f"{function}: {name} must have shape {list(shape)}, got {list(matrix.shape)}")
    if not np.isfinite(matrix).all():
        raise ValueError(f"{function}: {name} holds NaN or infinity; every entry must be finite")
    return matrix


def untyped(array: object) -> Any:
    """Return the argument itself, for the type checker an Any: a type variable has no arithmetic."""
    return array
