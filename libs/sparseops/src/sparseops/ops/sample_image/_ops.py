"""Registration of sampling plane by plane and its gradients with PyTorch.

For channels-first maps on the CPU only; other cases are weighted sums of rows.
"""

from typing import Any

import torch
from torch import Tensor

from sparseops._operator import operator


def _fake(image: Tensor, sample: Tensor, idx: Tensor, weights: Tensor) -> Tensor:
    return image.new_empty(idx.shape[0], image.shape[1])


def _fake_image(grad: Tensor, *rest: Any) -> Tensor:
    batch_size, cells = rest[-2:]
    return grad.new_empty(batch_size, grad.shape[1], cells)


def _fake_weights(grad: Tensor, image: Tensor, sample: Tensor, idx: Tensor) -> Tensor:
    return grad.new_empty(idx.shape)


@operator("sparseops::sample_planes", fake=_fake)
def sample_planes(image: Tensor, sample: Tensor, idx: Tensor, weights: Tensor) -> Tensor:
    """Weighted sums of four cells of planes [b, c, cells]."""
    from sparseops.ops.sample_image import _cpu

    return _cpu.sample_planes(image, sample, idx, weights)


@operator("sparseops::sample_planes_backward_image", fake=_fake_image, gradient=False)
def backward_image(
    grad: Tensor, sample: Tensor, idx: Tensor, weights: Tensor, batch_size: int, cells: int
) -> Tensor:
    """Gradient to the planes."""
    from sparseops.ops.sample_image import _cpu

    return _cpu.sample_planes_backward_image(grad, sample, idx, weights, batch_size, cells)


@operator("sparseops::sample_planes_backward_weights", fake=_fake_weights, gradient=False)
def backward_weights(grad: Tensor, image: Tensor, sample: Tensor, idx: Tensor) -> Tensor:
    """Gradient to the weights."""
    from sparseops.ops.sample_image import _cpu

    return _cpu.sample_planes_backward_weights(grad, image, sample, idx)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    image, sample, idx, weights = inputs
    ctx.batch_size, _, ctx.cells = image.shape
    ctx.save_for_backward(image if weights.requires_grad else None, sample, idx, weights)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, None, None, Tensor | None]:
    image, sample, idx, weights = ctx.saved_tensors
    to_image, _, _, to_weights = ctx.needs_input_grad
    return (
        backward_image(grad, sample, idx, weights, ctx.batch_size, ctx.cells) if to_image else None,
        None,
        None,
        backward_weights(grad, image, sample, idx) if to_weights else None,
    )


torch.library.register_autograd("sparseops::sample_planes", _backward, setup_context=_save)
