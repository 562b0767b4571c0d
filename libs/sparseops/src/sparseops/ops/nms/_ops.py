"""Registration of the suppression with PyTorch: the number of kept rows depends on the data."""

from typing import Any

import torch
from torch import Tensor

from sparseops._operator import dispatched, operator
from sparseops.ops.nms import _reference

_suppress = dispatched(_reference.nms)


def _fake(boxes: Tensor, *_: Any) -> Tensor:
    return boxes.new_empty(torch.library.get_ctx().new_dynamic_size(), dtype=torch.int64)


@operator("sparseops::nms", fake=_fake)
def nms(
    boxes: Tensor,
    scores: Tensor,
    labels: Tensor,
    threshold: float,
    pre_max: int,
    post_max: int,
    rotated: bool,
) -> Tensor:
    """Kept rows of float64 boxes [n, 7] by falling score."""
    falling, order = torch.sort(scores, descending=True, stable=True)
    order = order[:pre_max]
    kept = _suppress(boxes[order], labels[order], threshold, post_max, rotated)
    # NaN sorts first. Asked last, for on CUDA the answer has to be waited for.
    if len(falling) and bool(falling[0].isnan()):
        raise ValueError("nms: scores must not be NaN; mask such rows out, or see why the model gives them")
    return order[kept]
