"""Registration of the sparse convolution with PyTorch: along lists of pairs, and along tables on a GPU."""
# ruff: noqa: PLR0913 (operators and kernels take flat lists of arrays)

from typing import Any

import torch
from torch import Tensor

from sparseops._operator import dispatched, operator
from sparseops.ops.sparse_conv import _reference

_convolve = dispatched(_reference.sparse_conv)


def _fake(features: Tensor, weight: Tensor, *rest: Any) -> Tensor:
    return features.new_empty((rest[-1], weight.shape[2]))


def _fake_table(features: Tensor, weight: Tensor, bias: Tensor | None, plan: list[Tensor], *_: Any) -> Tensor:
    return features.new_empty((plan[0].shape[0], weight.shape[2]))


def _fake_weight_grad(features: Tensor, grad_out: Tensor, *pairs: Tensor) -> Tensor:
    return features.new_empty(pairs[-1].shape[1], features.shape[1], grad_out.shape[1])


def _fake_table_weight_grad(features: Tensor, grad_out: Tensor, pairs: list[Tensor]) -> Tensor:
    return features.new_empty(pairs[0].shape[0], features.shape[1], grad_out.shape[1])


@operator("sparseops::sparse_conv", fake=_fake)
def sparse_conv(
    features: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    pairs_in: Tensor,
    pairs_out: Tensor,
    segments: Tensor,
    back_in: Tensor,
    back_out: Tensor,
    back_segments: Tensor,
    rows_out: int,
) -> Tensor:
    """Convolve along the pairs; `back_*` are the pairs of the transposed map, read by the gradient only."""
    return _convolve(features, weight, bias, pairs_in, pairs_out, segments, rows_out)


weight_grad = operator("sparseops::sparse_conv_weight_grad", fake=_fake_weight_grad, gradient=False)(
    dispatched(_reference.weight_grad)
)


@operator("sparseops::sparse_conv_table", fake=_fake_table)
def sparse_conv_table(
    features: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    plan: list[Tensor],
    back: list[Tensor],
    pairs: list[Tensor],
) -> Tensor:
    """Convolve along a table and its schedule.

    Read by gradients only: `back`, the plan of the transposed map, and `pairs`, the pairs by offset. They may
    be empty where features or weight need no gradient.
    """
    from sparseops.ops.sparse_conv import _triton

    return _triton.sparse_conv_table(features, weight, bias, plan[0], plan[1:])


@operator("sparseops::sparse_conv_table_weight_grad", fake=_fake_table_weight_grad, gradient=False)
def table_weight_grad(features: Tensor, grad_out: Tensor, pairs: list[Tensor]) -> Tensor:
    """Gradient of a sparse convolution along a table with respect to its weight."""
    from sparseops.ops.sparse_conv import _triton

    return _triton.table_weight_grad(features, grad_out, pairs)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    features, weight, _, *plan, _ = inputs
    ctx.save_for_backward(features, weight, *plan)


def _save_table(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    features, weight, _, plan, back, pairs = inputs
    ctx.save_for_backward(features, weight, *back, *pairs)
    ctx.lengths = len(plan), len(back), len(pairs)


def _backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
    features, weight, *plan = ctx.saved_tensors
    forward, back = plan[:3], plan[3:]
    grad_out = grad_out.contiguous()
    to_features, to_weight, to_bias, *_ = ctx.needs_input_grad
    # The transposed map has the same offsets: the gradient is a convolution with transposed slices.
    flipped = weight.transpose(1, 2), None, *back, *forward, features.shape[0]
    return (
        sparse_conv(grad_out, *flipped) if to_features else None,
        weight_grad(features, grad_out, *forward) if to_weight else None,
        grad_out.sum(0) if to_bias else None,
        *(None,) * 7,
    )


def _backward_table(ctx: Any, grad_out: Tensor) -> tuple[Any, ...]:
    features, weight, *rest = ctx.saved_tensors
    back, pairs = rest[: ctx.lengths[1]], rest[ctx.lengths[1] :]
    grad_out = grad_out.contiguous()
    to_features, to_weight, to_bias, *_ = ctx.needs_input_grad
    flipped = weight.transpose(1, 2), None, back, [], []
    return (
        sparse_conv_table(grad_out, *flipped) if to_features else None,
        table_weight_grad(features, grad_out, pairs) if to_weight else None,
        grad_out.sum(0) if to_bias else None,
        *([None] * length for length in ctx.lengths),
    )


torch.library.register_autograd("sparseops::sparse_conv", _backward, setup_context=_save)
torch.library.register_autograd("sparseops::sparse_conv_table", _backward_table, setup_context=_save_table)
