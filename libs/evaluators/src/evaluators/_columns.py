"""Columns of rows of objects: their shapes, and which rows share a score."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float64, Int64

from evaluators._validation import OnInvalid

Fault: TypeAlias = tuple[np.ndarray, str | Callable[[int], str]]
"""The rows that have it, bool [n], and what to say, perhaps depending on the row."""


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


def kept_rows(
    faults: Sequence[Fault],
    on_invalid: OnInvalid,
    *,
    where: str | Callable[[int], str],
) -> Bool[np.ndarray, " n"]:
    """Return which rows can be evaluated.

    Args:
        faults: Those that a row may have; of several the first is named.
        where: The array of the rows; or the row itself in words.

    Raises:
        ValueError: A row cannot and the policy is "error"; names the row (from 1) and the reason.
    """
    invalid: np.ndarray = np.logical_or.reduce([rows for rows, _ in faults])
    if on_invalid == "error" and invalid.any():
        row = int(np.argmax(invalid))
        said = next(said for rows, said in faults if rows[row])
        reason = said if isinstance(said, str) else said(row)
        place = f"{where}, row {row + 1}" if isinstance(where, str) else where(row)
        raise ValueError(f"{place}: {reason}; repair it, or leave such rows out with on_invalid='drop'")
    return ~invalid


def not_finite(values: np.ndarray) -> Fault:
    """Return the fault of rows [n, columns] that hold a NaN or an infinity, for `kept_rows`."""
    return ~np.all(np.isfinite(values), axis=1), "expected finite numbers, got a NaN or infinity"


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
