"""Registration of sums along a kernel map with PyTorch. Their gradient is the same sum backwards."""

from typing import Any

import torch
from torch import Tensor

from sparseops._backend import backend_for
from sparseops._operator import operator
from sparseops.ops.sparse_avg_pool import _reference


@operator("sparseops::pool_sum")
def pool_sum(
    features: Tensor,
    pairs_in: Tensor,
    pairs_out: Tensor,
    segments: Tensor,
    back_in: Tensor,
    back_out: Tensor,
    back_segments: Tensor,
    rows_out: int,
) -> Tensor:
    """Sum of the inputs of every output row; `back_*` are read by the gradient only."""
    run = _reference.pool_sum
    if backend_for("sparse_avg_pool", features) == "cpu":
        from sparseops.ops.sparse_avg_pool import _cpu

        run = _cpu.pool_sum
    return run(features, pairs_in, pairs_out, segments, rows_out)


@operator("sparseops::pool_sum_table")
def pool_sum_table(features: Tensor, table: Tensor, back_table: Tensor) -> Tensor:
    """The same along the neighbour table of a map, on a GPU."""
    from sparseops.ops.sparse_avg_pool import _triton

    return _triton.pool_sum(features, table)


@torch.library.register_fake("sparseops::pool_sum")
def _(features: Tensor, *rest: Any) -> Tensor:
    return features.new_empty(rest[-1], features.shape[1])


@torch.library.register_fake("sparseops::pool_sum_table")
def _(features: Tensor, table: Tensor, back_table: Tensor) -> Tensor:
    return features.new_empty(table.shape[0], features.shape[1])


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    features, *plan = inputs
    ctx.rows_in = features.shape[0]
    ctx.save_for_backward(*(part for part in plan if isinstance(part, Tensor)))


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    forward, back = ctx.saved_tensors[:3], ctx.saved_tensors[3:]
    return pool_sum(grad.contiguous(), *back, *forward, ctx.rows_in), *(None,) * 7


def _backward_table(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    table, back_table = ctx.saved_tensors
    return pool_sum_table(grad.contiguous(), back_table, table), None, None


torch.library.register_autograd("sparseops::pool_sum", _backward, setup_context=_save)
torch.library.register_autograd("sparseops::pool_sum_table", _backward_table, setup_context=_save)
