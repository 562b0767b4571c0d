"""Registration of sparse max pooling with PyTorch: result shapes, gradients and back ends."""
# ruff: noqa: PLR0913 (operators and kernels take flat lists of arrays)

from typing import Any

import torch
from torch import Tensor

from sparseops._operator import dispatched, operator
from sparseops.ops.sparse_max_pool import _reference

_maximum = dispatched(_reference.sparse_max_pool)


def _fake(features: Tensor, pairs_in: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    shape = rest[-2], features.shape[1]
    return features.new_empty(shape), pairs_in.new_empty(shape)


def _fake_table(features: Tensor, table: Tensor, back_table: Tensor, tie: str) -> tuple[Tensor, Tensor]:
    shape = table.shape[0], features.shape[1]
    return features.new_empty(shape), table.new_empty(shape)


def _fake_first(grad_out: Tensor, *rest: Any) -> Tensor:
    return grad_out.new_empty((rest[-1], grad_out.shape[1]))


def _fake_first_table(grad_out: Tensor, source: Tensor, back_table: Tensor) -> Tensor:
    return grad_out.new_empty((back_table.shape[0], grad_out.shape[1]))


def _fake_all(grad_out: Tensor, features: Tensor, *_: Tensor) -> Tensor:
    return torch.empty_like(features)


@operator("sparseops::sparse_max_pool", fake=_fake)
def sparse_max_pool(
    features: Tensor,
    pairs_in: Tensor,
    pairs_out: Tensor,
    segments: Tensor,
    back_in: Tensor,
    back_out: Tensor,
    back_segments: Tensor,
    rows_out: int,
    tie: str,
) -> tuple[Tensor, Tensor]:
    """Maximum and source row of every output; `back_*` and `tie` are read by the gradient only."""
    return _maximum(features, pairs_in, pairs_out, segments, rows_out)


@operator("sparseops::sparse_max_pool_table", fake=_fake_table)
def sparse_max_pool_table(
    features: Tensor, table: Tensor, back_table: Tensor, tie: str
) -> tuple[Tensor, Tensor]:
    """The same along the neighbour table of a map, on a GPU."""
    from sparseops.ops.sparse_max_pool import _triton

    return _triton.sparse_max_pool_table(features, table)


grad_to_first = operator("sparseops::sparse_max_pool_grad_first", fake=_fake_first, gradient=False)(
    dispatched(_reference.grad_to_first)
)
grad_to_all = operator("sparseops::sparse_max_pool_grad_all", fake=_fake_all, gradient=False)(
    dispatched(_reference.grad_to_all)
)


@operator("sparseops::sparse_max_pool_table_grad_first", fake=_fake_first_table, gradient=False)
def grad_to_first_table(grad_out: Tensor, source: Tensor, back_table: Tensor) -> Tensor:
    """Gradient of the maximum to the source row alone, on a GPU."""
    from sparseops.ops.sparse_max_pool import _triton

    return _triton.grad_to_first_table(grad_out, source, back_table)


@operator("sparseops::sparse_max_pool_table_grad_all", fake=_fake_all, gradient=False)
def grad_to_all_table(grad_out: Tensor, features: Tensor, out: Tensor, back_table: Tensor) -> Tensor:
    """Gradient of the maximum to every row equal to it, on a GPU."""
    from sparseops.ops.sparse_max_pool import _triton

    return _triton.grad_to_all_table(grad_out, features, out, back_table)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    features, _, _, _, *back, _, ctx.tie = inputs
    _save_values(ctx, features, back, output)


def _save_table(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    features, _, back_table, ctx.tie = inputs
    _save_values(ctx, features, [back_table], output)


def _save_values(ctx: Any, features: Tensor, back: list[Tensor], output: tuple[Tensor, Tensor]) -> None:
    out, source = output
    ctx.mark_non_differentiable(source)
    ctx.rows_in = features.shape[0]
    ctx.save_for_backward(*((features, out) if ctx.tie == "all" else (source,)), *back)


def _backward(ctx: Any, grad_out: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    grad_out = grad_out.contiguous()
    if ctx.tie == "all":
        grad = grad_to_all(grad_out, *ctx.saved_tensors)
    else:
        grad = grad_to_first(grad_out, *ctx.saved_tensors, ctx.rows_in)
    return grad, *(None,) * 8


def _backward_table(ctx: Any, grad_out: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    run = grad_to_all_table if ctx.tie == "all" else grad_to_first_table
    return run(grad_out.contiguous(), *ctx.saved_tensors), None, None, None


torch.library.register_autograd("sparseops::sparse_max_pool", _backward, setup_context=_save)
torch.library.register_autograd(
    "sparseops::sparse_max_pool_table", _backward_table, setup_context=_save_table
)
