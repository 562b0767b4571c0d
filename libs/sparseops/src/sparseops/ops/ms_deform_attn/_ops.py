"""Registration of multi-scale deformable attention and its gradients with PyTorch."""

from typing import Any

import torch
from torch import Tensor

from sparseops._backend import backend_for
from sparseops._operator import dispatched, operator
from sparseops.ops.ms_deform_attn import _reference


def _fake(value: Tensor, shapes: list[int], locations: Tensor, weights: Tensor) -> Tensor:
    return value.new_empty(value.shape[0], locations.shape[1], value.shape[2] * value.shape[3])


def _fake_backward(
    grad: Tensor, value: Tensor, shapes: list[int], locations: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(value), torch.empty_like(locations), torch.empty_like(weights)


ms_deform_attn = operator("sparseops::ms_deform_attn", fake=_fake)(dispatched(_reference.ms_deform_attn))


@operator("sparseops::ms_deform_attn_backward", fake=_fake_backward, gradient=False)
def ms_deform_attn_backward(
    grad: Tensor, value: Tensor, shapes: list[int], locations: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients to value, locations and weights. PyTorch differentiates the reference itself."""
    if backend_for("ms_deform_attn", value) == "triton":
        from sparseops.ops.ms_deform_attn import _triton as back_end
    else:
        from sparseops.ops.ms_deform_attn import _cpu as back_end
    return back_end.ms_deform_attn_backward(grad, value, shapes, locations, weights)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    value, ctx.shapes, locations, weights = inputs
    ctx.save_for_backward(value, locations, weights)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    value, locations, weights = ctx.saved_tensors
    to_value, to_locations, to_weights = ms_deform_attn_backward(grad, value, ctx.shapes, locations, weights)
    return to_value, None, to_locations, to_weights


torch.library.register_autograd("sparseops::ms_deform_attn", _backward, setup_context=_save)
