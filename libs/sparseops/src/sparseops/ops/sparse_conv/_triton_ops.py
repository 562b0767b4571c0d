"""Registration of the sparse convolution along a neighbour table, for GPUs, with PyTorch."""

from typing import Any

import torch
from torch import Tensor

from sparseops._operator import operator
from sparseops.ops.kernel_map import KernelMap


@operator("sparseops::sparse_conv_table")
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

    return _triton.sparse_conv(features, weight, bias, plan[0], plan[1:])


@operator("sparseops::sparse_conv_table_weight_grad", gradient=False)
def weight_grad(features: Tensor, grad_out: Tensor, pairs: list[Tensor]) -> Tensor:
    """Gradient of a sparse convolution with respect to its weight."""
    from sparseops.ops.sparse_conv import _triton

    return _triton.weight_grad(features, grad_out, pairs)


@torch.library.register_fake("sparseops::sparse_conv_table")
def _(
    features: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    plan: list[Tensor],
    back: list[Tensor],
    pairs: list[Tensor],
) -> Tensor:
    return features.new_empty((plan[0].shape[0], weight.shape[2]))


@torch.library.register_fake("sparseops::sparse_conv_table_weight_grad")
def _(features: Tensor, grad_out: Tensor, pairs: list[Tensor]) -> Tensor:
    return features.new_empty(pairs[0].shape[0], features.shape[1], grad_out.shape[1])


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    features, weight, _, plan, back, pairs = inputs
    ctx.save_for_backward(features, weight, *back, *pairs)
    ctx.lengths = len(plan), len(back), len(pairs)


def _backward(ctx: Any, grad_out: Tensor) -> tuple[Any, ...]:
    features, weight, *rest = ctx.saved_tensors
    back, pairs = rest[: ctx.lengths[1]], rest[ctx.lengths[1] :]
    grad_out = grad_out.contiguous()
    grad_features = grad_weight = grad_bias = None
    if ctx.needs_input_grad[0]:
        # The transposed map has the same offsets: the gradient is a convolution with transposed slices.
        grad_features = sparse_conv_table(grad_out, weight.transpose(1, 2), None, back, [], [])
    if ctx.needs_input_grad[1]:
        grad_weight = weight_grad(features, grad_out, pairs)
    if ctx.needs_input_grad[2]:
        grad_bias = grad_out.sum(0)
    return grad_features, grad_weight, grad_bias, *([None] * length for length in ctx.lengths)


torch.library.register_autograd("sparseops::sparse_conv_table", _backward, setup_context=_save)


def sparse_conv(features: Tensor, weight: Tensor, bias: Tensor | None, kernel_map: KernelMap) -> Tensor:
    """Convolve along a map, with what its gradients will need."""
    grad = torch.is_grad_enabled()
    plan = [kernel_map.table.rows, *kernel_map.table.schedule]
    back: list[Tensor] = []
    if grad and features.requires_grad:
        back = [kernel_map.transposed.table.rows, *kernel_map.transposed.table.schedule]
    pairs = kernel_map.table.pairs_by_offset if grad and weight.requires_grad else []
    return sparse_conv_table(features, weight, bias, plan, back, pairs)
