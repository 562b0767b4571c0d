"""Registration of the IoU of rotated boxes with PyTorch."""

import torch
from torch import Tensor

from sparseops._operator import dispatched, operator
from sparseops.ops.rotated_iou import _reference


def _fake_table(boxes_a: Tensor, boxes_b: Tensor, dtype: torch.dtype) -> Tensor:
    return boxes_a.new_empty(len(boxes_a), len(boxes_b), dtype=dtype)


def _fake_pairs(boxes_a: Tensor, boxes_b: Tensor, dtype: torch.dtype) -> Tensor:
    return boxes_a.new_empty(len(boxes_a), dtype=dtype)


iou = operator("sparseops::iou", fake=_fake_table, gradient=False)(dispatched(_reference.iou))
paired_iou = operator("sparseops::paired_iou", fake=_fake_pairs, gradient=False)(
    dispatched(_reference.paired_iou)
)
