"""Clouds whose rows lie sample after sample, with the number of rows of every sample."""

import torch
from torch import Tensor

from sparseops._checks import INTEGERS, check_dtype, check_shape
from sparseops._operator import operator

Named = tuple[str, Tensor]
"""An argument and its name, for messages."""


def check_stacked(op: str, first: Named, first_counts: Named, second: Named, second_counts: Named) -> None:
    """Raise unless two clouds have rows [n, 3] and integer counts [b], for the same number of samples."""
    check_shape(op, *first, ("M", 3))
    check_shape(op, *second, ("N", 3))
    check_shape(op, *first_counts, ("B",))
    check_shape(op, *second_counts, (len(first_counts[1]),))
    check_dtype(op, *first_counts, INTEGERS)
    check_dtype(op, *second_counts, INTEGERS)


def _fake_starts(counts: Tensor, rows: int, op: str, name: str, wait: bool) -> Tensor:
    return counts.new_empty(counts.shape[0] + 1, dtype=torch.int64)


@operator("sparseops::first_rows", fake=_fake_starts)
def first_rows(counts: Tensor, rows: int, op: str, name: str, wait: bool) -> Tensor:
    """Return the first row of every sample and, last, the number of rows; int64 [b + 1].

    Raises ValueError for counts that are negative or do not add up to `rows`: on the CPU always, on other
    devices only if it may `wait` for them.
    """
    if wait or counts.device.type == "cpu":
        numbers = counts.tolist()
        if sum(numbers) != rows or min(numbers, default=0) < 0:
            raise ValueError(
                f"{op}: {name} must not be negative and must add up to {rows} rows, got {numbers}"
            )
    return torch.nn.functional.pad(counts.long().cumsum(0), (1, 0))
