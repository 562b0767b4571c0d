"""Greedy suppression in plain PyTorch, any device. This file decides what is right."""

import torch
from torch import Tensor

from sparseops.rotated_iou._reference import iou_bev_reference

_PAIRS_AT_ONCE = 1 << 20


def nms_bev_reference(boxes: Tensor, threshold: float, post_max: int) -> Tensor:
    """Return the kept rows of boxes [n, 7] that come sorted by falling score."""
    radius = boxes[:, 3:5].double().norm(dim=1) / 2
    near = torch.cdist(boxes[:, :2].double(), boxes[:, :2].double()) <= (radius[:, None] + radius) * (
        1 + 1e-9
    )
    high, low = near.triu(1).nonzero(as_tuple=True)
    overlaps = [
        iou_bev_reference(boxes[i], boxes[j]) > threshold
        for i, j in zip(high.split(_PAIRS_AT_ONCE), low.split(_PAIRS_AT_ONCE), strict=True)
    ]
    overlap = torch.cat(overlaps) if overlaps else high.bool()
    suppresses = torch.zeros(len(boxes), len(boxes), dtype=torch.bool)
    suppresses[high[overlap].cpu(), low[overlap].cpu()] = True
    suppressed = torch.zeros(len(boxes), dtype=torch.bool)
    kept = []
    for row in range(len(boxes)):
        if len(kept) < post_max and not suppressed[row]:
            kept.append(row)
            suppressed |= suppresses[row]
    return torch.tensor(kept, dtype=torch.int64, device=boxes.device)
