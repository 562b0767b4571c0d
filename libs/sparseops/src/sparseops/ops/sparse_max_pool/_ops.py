"""Registration of sparse max pooling with PyTorch: result shapes, gradients and back ends."""
# ruff: noqa: PLR0913 (operators and kernels take flat lists of arrays)

from typing import Any

import torch
from torch import Tensor

from sparseops._backend import backend_for
from sparseops._operator import operator
from sparseops.ops.sparse_max_pool import _reference


@operator("sparseops::sparse_max_pool")
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
    run = _reference.sparse_max_pool
    if backend_for("sparse_max_pool", features) == "cpu":
        from sparseops.ops.sparse_max_pool import _cpu

        run = _cpu.sparse_max_pool
    return run(features, pairs_in, pairs_out, segments, rows_out)


@operator("sparseops::sparse_max_pool_table")
def sparse_max_pool_table(
    features: Tensor, table: Tensor, back_table: Tensor, tie: str
) -> tuple[Tensor, Tensor]:
    """The same along the neighbour table of a map, on a GPU."""
    from sparseops.ops.sparse_max_pool import _triton

    return _triton.sparse_max_pool(features, table)


@operator("sparseops::sparse_max_pool_grad_first", gradient=False)
def grad_to_first(
    grad_out: Tensor, source: Tensor, back_in: Tensor, back_out: Tensor, back_segments: Tensor, rows_in: int
) -> Tensor:
    """Gradient of the maximum to the source row alone."""
    run = _reference.grad_to_first
    if backend_for("sparse_max_pool", grad_out) == "cpu":
        from sparseops.ops.sparse_max_pool import _cpu

        run = _cpu.grad_to_first
    return run(grad_out, source, back_in, back_out, back_segments, rows_in)


@operator("sparseops::sparse_max_pool_grad_all", gradient=False)
def grad_to_all(
    grad_out: Tensor, features: Tensor, out: Tensor, back_in: Tensor, back_out: Tensor, back_segments: Tensor
) -> Tensor:
    """Gradient of the maximum to every row equal to it."""
    run = _reference.grad_to_all
    if backend_for("sparse_max_pool", grad_out) == "cpu":
        from sparseops.ops.sparse_max_pool import _cpu

        run = _cpu.grad_to_all
    return run(grad_out, features, out, back_in, back_out, back_segments)


@operator("sparseops::sparse_max_pool_table_grad_first", gradient=False)
def grad_to_first_table(grad_out: Tensor, source: Tensor, back_table: Tensor) -> Tensor:
    """Gradient of the maximum to the source row alone, on a GPU."""
    from sparseops.ops.sparse_max_pool import _triton

    return _triton.grad_to_first(grad_out, source, back_table)


@operator("sparseops::sparse_max_pool_table_grad_all", gradient=False)
def grad_to_all_table(grad_out: Tensor, features: Tensor, out: Tensor, back_table: Tensor) -> Tensor:
    """Gradient of the maximum to every row equal to it, on a GPU."""
    from sparseops.ops.sparse_max_pool import _triton

    return _triton.grad_to_all(grad_out, features, out, back_table)


@torch.library.register_fake("sparseops::sparse_max_pool")
def _(
    features: Tensor,
    pairs_in: Tensor,
    pairs_out: Tensor,
    segments: Tensor,
    back_in: Tensor,
    back_out: Tensor,
    back_segments: Tensor,
    rows_out: int | torch.SymInt,
    tie: str,
) -> tuple[Tensor, Tensor]:
    shape = rows_out, features.shape[1]
    return features.new_empty(shape), pairs_in.new_empty(shape)


@torch.library.register_fake("sparseops::sparse_max_pool_grad_first")
def _(
    grad_out: Tensor,
    source: Tensor,
    back_in: Tensor,
    back_out: Tensor,
    back_segments: Tensor,
    rows_in: int | torch.SymInt,
) -> Tensor:
    return grad_out.new_empty((rows_in, grad_out.shape[1]))


@torch.library.register_fake("sparseops::sparse_max_pool_table")
def _(features: Tensor, table: Tensor, back_table: Tensor, tie: str) -> tuple[Tensor, Tensor]:
    shape = table.shape[0], features.shape[1]
    return features.new_empty(shape), table.new_empty(shape)


@torch.library.register_fake("sparseops::sparse_max_pool_grad_all")
def _(grad_out: Tensor, features: Tensor, *_: Tensor) -> Tensor:
    return torch.empty_like(features)


@torch.library.register_fake("sparseops::sparse_max_pool_table_grad_first")
def _(grad_out: Tensor, source: Tensor, back_table: Tensor) -> Tensor:
    return grad_out.new_empty((back_table.shape[0], grad_out.shape[1]))


@torch.library.register_fake("sparseops::sparse_max_pool_table_grad_all")
def _(grad_out: Tensor, features: Tensor, *_: Tensor) -> Tensor:
    return torch.empty_like(features)


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
