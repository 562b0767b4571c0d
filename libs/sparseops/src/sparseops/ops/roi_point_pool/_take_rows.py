"""Rows of a table with a gradient that is the same in every run, which that of PyTorch on CUDA is not.

Copying rows is what PyTorch does best on every device; the gradient is a sum of rows by index.
"""

from typing import Any

import torch
from torch import Tensor

from sparseops._operator import operator
from sparseops.ops.scatter import scatter_sum


@operator("sparseops::take_rows")
def take_rows(table: Tensor, rows: Tensor) -> Tensor:
    """Return rows [k] of a table [n, c], zeros for negative rows."""
    padded = torch.cat([table, table.new_zeros(1, table.shape[1])])
    return padded.index_select(0, torch.where(rows < 0, len(table), rows))


@torch.library.register_fake("sparseops::take_rows")
def _(table: Tensor, rows: Tensor) -> Tensor:
    return table.new_empty(len(rows), table.shape[1])


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    table, rows = inputs
    ctx.save_for_backward(rows)
    ctx.count = len(table)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
    (rows,) = ctx.saved_tensors
    return scatter_sum(grad, rows, dim_size=ctx.count), None


torch.library.register_autograd("sparseops::take_rows", _backward, setup_context=_save)
