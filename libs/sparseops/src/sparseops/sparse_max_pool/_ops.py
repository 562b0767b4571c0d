"""Registration of sparse max pooling with PyTorch: result shapes, gradients and back ends."""
# ruff: noqa: PLR0913 (operators and kernels take flat lists of arrays)

from typing import Any

import torch
from torch import Tensor

from sparseops._backend import backend_for
from sparseops.sparse_max_pool import _reference


@torch.library.custom_op("sparseops::sparse_max_pool", mutates_args=())
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
        from sparseops.sparse_max_pool import _cpu

        run = _cpu.sparse_max_pool
    return run(features, pairs_in, pairs_out, segments, rows_out)


@torch.library.custom_op("sparseops::sparse_max_pool_grad_first", mutates_args=())
def grad_to_first(
    grad_out: Tensor, source: Tensor, back_in: Tensor, back_out: Tensor, back_segments: Tensor, rows_in: int
) -> Tensor:
    """Gradient of the maximum to the source row alone."""
    run = _reference.grad_to_first
    if backend_for("sparse_max_pool", grad_out) == "cpu":
        from sparseops.sparse_max_pool import _cpu

        run = _cpu.grad_to_first
    return run(grad_out, source, back_in, back_out, back_segments, rows_in)


@sparse_max_pool.register_fake
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


@grad_to_first.register_fake
def _(
    grad_out: Tensor,
    source: Tensor,
    back_in: Tensor,
    back_out: Tensor,
    back_segments: Tensor,
    rows_in: int | torch.SymInt,
) -> Tensor:
    return grad_out.new_empty((rows_in, grad_out.shape[1]))


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    features, _, _, _, *back, _, ctx.tie = inputs
    out, source = output
    ctx.mark_non_differentiable(source)
    ctx.rows_in = features.shape[0]
    values = (features, out) if ctx.tie == "all" else (source,)
    ctx.save_for_backward(*back, *values)


def _backward(ctx: Any, grad_out: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    *back, last = ctx.saved_tensors
    grad_out = grad_out.contiguous()
    if ctx.tie == "all":
        *back, features = back
        grad = _reference.grad_to_all(grad_out, features, last, *back)
    else:
        grad = grad_to_first(grad_out, last, *back, ctx.rows_in)
    return grad, *(None,) * 8


sparse_max_pool.register_autograd(_backward, setup_context=_save)
