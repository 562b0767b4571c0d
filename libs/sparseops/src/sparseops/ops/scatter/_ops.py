"""Registration of the row reductions with PyTorch. The maximum is differentiated by its source rows."""

from typing import Any

import torch
from torch import Tensor

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


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(inputs[1])


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
    (index,) = ctx.saved_tensors
    # An extra row of zeros stands for the rows that were left out.
    padded = torch.cat([grad, grad.new_zeros(1, grad.shape[1])])
    kept = (index >= 0) & (index < len(grad))
    return padded[torch.where(kept, index, len(grad))], None, None, None


torch.library.register_autograd("sparseops::scatter_sum", _backward, setup_context=_save)
