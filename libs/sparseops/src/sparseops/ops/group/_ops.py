"""Registration of grouping and its gradient with PyTorch."""

from typing import Any

import torch
from torch import Tensor

from sparseops._operator import dispatched, operator
from sparseops.ops.group import _reference

_gather = dispatched(_reference.group)


def _fake(features: Tensor, idx: Tensor) -> Tensor:
    return features.new_empty(*features.shape[:2], *idx.shape[1:])


def _fake_backward(grad: Tensor, idx: Tensor, rows: int | torch.SymInt) -> Tensor:
    return grad.new_empty(*grad.shape[:2], rows)


@operator("sparseops::group", fake=_fake)
def group(features: Tensor, idx: Tensor) -> Tensor:
    """Features of the given rows."""
    if idx.device.type == "cpu" and idx.numel():
        low, high = int(idx.min()), int(idx.max())
        if low < 0 or high >= features.shape[2]:
            raise IndexError(f"group: idx must lie in 0 to {features.shape[2] - 1}, got {low} to {high}")
    return _gather(features, idx)


group_backward = operator("sparseops::group_backward", fake=_fake_backward, gradient=False)(
    dispatched(_reference.group_backward)
)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    features, idx = inputs
    ctx.save_for_backward(idx)
    ctx.rows = features.shape[2]


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
    (idx,) = ctx.saved_tensors
    return group_backward(grad, idx, ctx.rows), None


torch.library.register_autograd("sparseops::group", _backward, setup_context=_save)
