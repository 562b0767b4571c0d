"""One namespace for numpy arrays and torch tensors; torch is never imported here."""

from typing import Any

import array_api_compat
import numpy as np

Array = Any
"""A numpy array or a torch tensor; functions return the kind they are given."""


def namespace(*arrays: Array) -> Any:
    """Return the array-API namespace of the arrays that are arrays; plain numbers and lists are left out."""
    known = [array for array in arrays if array_api_compat.is_array_api_obj(array)]
    return (
        array_api_compat.array_namespace(*known) if known else array_api_compat.array_namespace(np.empty(0))
    )


def constant(value: Any, like: Array) -> Array:
    """Return `value` as an array of the kind, device and floating dtype of `like`."""
    xp = namespace(like)
    dtype = like.dtype if xp.isdtype(like.dtype, "real floating") else xp.float64
    return xp.asarray(value, dtype=dtype, device=array_api_compat.device(like))


def check_last(name: str, array: Array, size: int, *, what: str, ndim: int | None = None) -> None:
    """Raise ValueError unless the last dimension is `size` (and there are `ndim` dimensions)."""
    shape = tuple(array.shape)
    if not shape or shape[-1] != size or (ndim is not None and len(shape) != ndim):
        expected = f"[..., {size}]" if ndim is None else f"[{'n, ' * (ndim - 1)}{size}]"
        raise ValueError(f"{name}: expected shape {expected} ({what}), got {list(shape)}")
