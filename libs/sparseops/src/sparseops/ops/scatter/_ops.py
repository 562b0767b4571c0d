"""Registration of the row reductions, and of taking rows, with PyTorch.

The maximum is differentiated by its source rows; sums of rows and taking rows are each other's gradient.
"""

from typing import Any

import torch
from torch import Tensor

from sparseops._checks import wide
from sparseops._operator import dispatched, operator
from sparseops.ops.scatter import _reference

_sum, _argmax = dispatched(_reference.scatter_sum), dispatched(_reference.scatter_argmax)


def _check_range(op: str, index: Tensor, count: int) -> None:
    """Raise IndexError for an index of `count` or more; on a GPU this would wait for all earlier kernels."""
    if index.device.type == "cpu" and len(index) and int(index.max()) >= count:
        raise IndexError(f"{op}: index must be below dim_size {count}, got {int(index.max())}")


def _fake_sum(rows: Tensor, index: Tensor, count: int | torch.SymInt, op: str) -> Tensor:
    return rows.new_empty(count, rows.shape[1])


def _fake_argmax(rows: Tensor, index: Tensor, count: int | torch.SymInt) -> Tensor:
    return rows.new_empty(count, rows.shape[1], dtype=torch.int64)


@operator("sparseops::scatter_sum", fake=_fake_sum)
def scatter_sum(rows: Tensor, index: Tensor, count: int, op: str) -> Tensor:
    """Sums of the rows of every group; `op` is the function that errors name."""
    _check_range(op, index, count)
    return _sum(rows, index, count)


@operator("sparseops::scatter_argmax", fake=_fake_argmax)
def scatter_argmax(rows: Tensor, index: Tensor, count: int) -> Tensor:
    """Rows that hold the maximum of every group."""
    _check_range("scatter_max", index, count)
    return _argmax(rows, index, count)


def _fake_take(table: Tensor, rows: Tensor) -> Tensor:
    return table.new_empty(rows.shape[0], table.shape[1])


@operator("sparseops::take_rows", fake=_fake_take)
def take_rows(table: Tensor, rows: Tensor) -> Tensor:
    """Return rows [k] of a table [n, c], zeros for rows outside of it.

    Copying rows is what PyTorch does best on every device, but its gradient differs from run to run on CUDA;
    this one is a sum of rows by index.
    """
    padded = torch.cat([table, table.new_zeros(1, table.shape[1])])
    return padded.index_select(0, torch.where((rows < 0) | (rows >= len(table)), len(table), rows))


def _save_sum(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(inputs[1])


def _backward_sum(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
    (index,) = ctx.saved_tensors
    return take_rows(grad, index), None, None, None


def _save_take(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    table, rows = inputs
    ctx.save_for_backward(rows)
    ctx.count = len(table)


def _backward_take(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
    (rows,) = ctx.saved_tensors
    return scatter_sum(wide(grad), rows, ctx.count, "take_rows").to(grad.dtype), None


torch.library.register_autograd("sparseops::scatter_sum", _backward_sum, setup_context=_save_sum)
torch.library.register_autograd("sparseops::take_rows", _backward_take, setup_context=_save_take)
