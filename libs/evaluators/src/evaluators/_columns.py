"""Columns of rows of objects: their shapes, and which rows share a score."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int64


def column(owner: str, name: str, values: object, count: int, width: int) -> np.ndarray:
    """Return `values` as float64 of shape [count] (width 0) or [count, width].

    Raises:
        ValueError: Another shape; names the class `owner` and its field `name`.
    """
    array = np.asarray(values, dtype=np.float64)
    shape = (count, width) if width else (count,)
    if count == 0 and array.size == 0:
        return array.reshape(shape)
    if array.shape != shape:
        raise ValueError(
            f"{owner}.{name} must have shape {list(shape)} for {count} names, got {list(array.shape)}"
        )
    return array


def count_ties(scores: Float64[np.ndarray, " n"], groups: Int64[np.ndarray, " n"]) -> int:
    """Return how many rows share their score with another row of their group.

    Example:
        >>> count_ties(np.array([0.5, 0.5, 0.5, 0.1]), np.array([1, 1, 2, 1]))
        2
    """
    order = np.lexsort((scores, groups))
    as_previous = (np.diff(scores[order]) == 0) & (np.diff(groups[order]) == 0)
    tied = np.append(as_previous, False) | np.append(False, as_previous)
    return int(np.count_nonzero(tied[: len(scores)]))
