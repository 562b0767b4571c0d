"""Steps whose size or error depends on values, as operators: in plain PyTorch they would break graphs."""

import torch
from torch import Tensor

from sparseops._operator import operator

ANY_BELOW = -(2**63)
"""For `checked_rows`: negative rows stand for none."""


def _fake_rows(mask: Tensor) -> Tensor:
    return mask.new_empty(torch.library.get_ctx().new_dynamic_size(), dtype=torch.int64)


@operator("sparseops::true_rows", fake=_fake_rows)
def true_rows(mask: Tensor) -> Tensor:
    """Return the numbers of the true entries [n], ascending."""
    return mask.nonzero()[:, 0]


def _fake_distinct(keys: Tensor) -> tuple[Tensor, Tensor]:
    return keys.new_empty(torch.library.get_ctx().new_dynamic_size()), torch.empty_like(keys)


@operator("sparseops::distinct", fake=_fake_distinct)
def distinct(keys: Tensor) -> tuple[Tensor, Tensor]:
    """Return the distinct values of int64 keys [n], ascending, and the place of every key among them [n]."""
    values, place = torch.unique(keys, return_inverse=True)
    return values, place


def _fake_checked(rows: Tensor, least: int, limit: int | torch.SymInt, words: str) -> Tensor:
    return torch.empty_like(rows, dtype=torch.int64)


@operator("sparseops::checked_rows", fake=_fake_checked)
def checked_rows(rows: Tensor, least: int, limit: int, words: str) -> Tensor:
    """Return row numbers as int64; on the CPU, raise unless all lie in [least, limit).

    Elsewhere this would wait for the device. `words` is the error, about `{limit}`, `{last}` = limit - 1,
    and the `{low}` and `{high}` that came.
    """
    if rows.device.type == "cpu" and rows.numel():
        low, high = int(rows.min()), int(rows.max())
        if low < least or high >= limit:
            raise IndexError(words.format(limit=limit, last=limit - 1, low=low, high=high))
    return rows.to(torch.int64, copy=True)


def _fake_column(points: Tensor, batch_size: int, op: str, wait: bool) -> Tensor:
    return points.new_empty(points.shape[0], dtype=torch.int64)


@operator("sparseops::batch_column", fake=_fake_column)
def batch_column(points: Tensor, batch_size: int, op: str, wait: bool) -> Tensor:
    """Return the samples of points, column 0 of [n, ...], as int64; raise unless they are of the batch.

    Args:
        wait: Check on other devices too, which waits for them once. Without, a row that is no sample of the
            batch is marked -1 there.
    """
    column = points[:, 0]
    # Compared as floats: NaN and infinity are no samples either.
    good = (column >= 0) & (column < batch_size) & (column == column.floor())
    if (wait or points.device.type == "cpu") and not bool(good.all()):
        if not bool((column == column.floor()).all() & column.isfinite().all()):
            raise ValueError(
                f"{op}: column 0 of points must hold whole numbers of samples; is it the first column?"
            )
        low, high = int(column.min()), int(column.max())
        raise ValueError(
            f"{op}: column 0 of points must hold samples 0 to {batch_size - 1}, got {low} to {high}"
        )
    return torch.where(good, column, -1).long()
