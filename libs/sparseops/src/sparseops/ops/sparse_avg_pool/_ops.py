"""Registration of sums along a kernel map with PyTorch. Their gradient is the same sum backwards."""

from typing import Any

import torch
from torch import Tensor

from sparseops._operator import dispatched, operator
from sparseops.ops.sparse_avg_pool import _reference

_sum = dispatched(_reference.pool_sum)


def _fake(features: Tensor, *rest: Any) -> Tensor:
    return features.new_empty(rest[-1], features.shape[1])


def _fake_table(features: Tensor, table: Tensor, back_table: Tensor) -> Tensor:
    return features.new_empty(table.shape[0], features.shape[1])


@operator("sparseops::pool_sum", fake=_fake)
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
    return _sum(features, pairs_in, pairs_out, segments, rows_out)


@operator("sparseops::pool_sum_table", fake=_fake_table)
def pool_sum_table(features: Tensor, table: Tensor, back_table: Tensor) -> Tensor:
    """The same along the neighbour table of a map, on a GPU."""
    from sparseops.ops.sparse_avg_pool import _triton

    return _triton.pool_sum_table(features, table)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    features, *plan = inputs
    ctx.rows_in = features.shape[0]
    ctx.save_for_backward(*(part for part in plan if isinstance(part, Tensor)))


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    # Read once: under checkpointing every reading counts.
    plan = ctx.saved_tensors
    forward, back = plan[:3], plan[3:]
    return pool_sum(grad.contiguous(), *back, *forward, ctx.rows_in), *(None,) * 7


def _backward_table(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    table, back_table = ctx.saved_tensors
    return pool_sum_table(grad.contiguous(), back_table, table), None, None


torch.library.register_autograd("sparseops::pool_sum", _backward, setup_context=_save)
torch.library.register_autograd("sparseops::pool_sum_table", _backward_table, setup_context=_save)
