"""Registration of the sparse convolution with PyTorch: result shapes, gradients and back ends."""
# ruff: noqa: PLR0913 (operators and kernels take flat lists of arrays)

from typing import Any

import torch
from torch import Tensor

from sparseops._backend import backend_for
from sparseops._operator import operator
from sparseops.ops.sparse_conv import _reference


@operator("sparseops::sparse_conv")
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
    run = _reference.sparse_conv
    if backend_for("sparse_conv", features) == "cpu":
        from sparseops.ops.sparse_conv import _cpu

        run = _cpu.sparse_conv
    return run(features, weight, bias, pairs_in, pairs_out, segments, rows_out)


@operator("sparseops::sparse_conv_weight_grad", gradient=False)
def weight_grad(
    features: Tensor, grad_out: Tensor, pairs_in: Tensor, pairs_out: Tensor, segments: Tensor
) -> Tensor:
    """Gradient of a sparse convolution with respect to its weight."""
    run = _reference.weight_grad
    if backend_for("sparse_conv", features) == "cpu":
        from sparseops.ops.sparse_conv import _cpu

        run = _cpu.weight_grad
    return run(features, grad_out, pairs_in, pairs_out, segments)


@torch.library.register_fake("sparseops::sparse_conv")
def _(
    features: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    pairs_in: Tensor,
    pairs_out: Tensor,
    segments: Tensor,
    back_in: Tensor,
    back_out: Tensor,
    back_segments: Tensor,
    rows_out: int | torch.SymInt,
) -> Tensor:
    return features.new_empty((rows_out, weight.shape[2]))


@torch.library.register_fake("sparseops::sparse_conv_weight_grad")
def _(features: Tensor, grad_out: Tensor, pairs_in: Tensor, pairs_out: Tensor, segments: Tensor) -> Tensor:
    return features.new_empty(segments.shape[1], features.shape[1], grad_out.shape[1])


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    features, weight, _, *plan, _ = inputs
    ctx.save_for_backward(features, weight, *plan)


def _backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
    features, weight, *plan = ctx.saved_tensors
    forward, back = plan[:3], plan[3:]
    grad_out = grad_out.contiguous()
    grad_features = grad_weight = grad_bias = None
    if ctx.needs_input_grad[0]:
        # The transposed map has the same offsets: the gradient is a convolution with transposed slices.
        grad_features = sparse_conv(
            grad_out, weight.transpose(1, 2), None, *back, *forward, features.shape[0]
        )
    if ctx.needs_input_grad[1]:
        grad_weight = weight_grad(features, grad_out, *forward)
    if ctx.needs_input_grad[2]:
        grad_bias = grad_out.sum(0)
    return grad_features, grad_weight, grad_bias, *(None,) * 7


torch.library.register_autograd("sparseops::sparse_conv", _backward, setup_context=_save)
