"""Registration of the IoU of rotated boxes and its gradient with PyTorch."""

from typing import Any

import torch
from torch import Tensor

from sparseops._operator import dispatched, operator
from sparseops.ops.rotated_iou import _reference
from sparseops.ops.rotated_iou._gradient import iou_gradient, table_gradient


def _fake_table(boxes_a: Tensor, boxes_b: Tensor, dtype: torch.dtype) -> Tensor:
    return boxes_a.new_empty(len(boxes_a), len(boxes_b), dtype=dtype)


def _fake_pairs(boxes_a: Tensor, boxes_b: Tensor, dtype: torch.dtype) -> Tensor:
    return boxes_a.new_empty(len(boxes_a), dtype=dtype)


def _fake_gradients(grad: Tensor, boxes_a: Tensor, boxes_b: Tensor) -> tuple[Tensor, Tensor]:
    return torch.empty_like(boxes_a), torch.empty_like(boxes_b)


iou = operator("sparseops::iou", fake=_fake_table)(dispatched(_reference.iou))
paired_iou = operator("sparseops::paired_iou", fake=_fake_pairs)(dispatched(_reference.paired_iou))
iou_backward = operator("sparseops::iou_backward", fake=_fake_gradients, gradient=False)(table_gradient)
paired_iou_backward = operator("sparseops::paired_iou_backward", fake=_fake_gradients, gradient=False)(
    iou_gradient
)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:2])


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
    return *iou_backward(grad, *ctx.saved_tensors), None


def _paired_backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
    return *paired_iou_backward(grad, *ctx.saved_tensors), None


torch.library.register_autograd("sparseops::iou", _backward, setup_context=_save)
torch.library.register_autograd("sparseops::paired_iou", _paired_backward, setup_context=_save)
