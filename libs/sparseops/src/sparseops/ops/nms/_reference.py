"""Greedy suppression in plain PyTorch, any device. This file decides what is right."""

import torch
from torch import Tensor

from sparseops.ops.rotated_iou._reference import iou_aligned_reference, iou_reference

_PAIRS_AT_ONCE = 1 << 20


def nms(boxes: Tensor, labels: Tensor, threshold: float, post_max: int, rotated: bool) -> Tensor:
    """Return the kept rows of float64 boxes [n, 7] that come sorted by falling score."""
    radius = boxes[:, 3:5].norm(dim=1) / 2 * (1 + 1e-9)
    distance = torch.cdist(boxes[:, :2], boxes[:, :2], compute_mode="donot_use_mm_for_euclid_dist")
    near = (distance <= radius[:, None] + radius) & (labels[:, None] == labels)
    high, low = near.triu(1).nonzero(as_tuple=True)
    iou = iou_reference if rotated else iou_aligned_reference
    overlap = torch.cat(
        [
            iou(boxes[i], boxes[j]) > threshold
            for i, j in zip(high.split(_PAIRS_AT_ONCE), low.split(_PAIRS_AT_ONCE), strict=True)
        ]
    )
    suppresses = torch.zeros(len(boxes), len(boxes), dtype=torch.bool)
    suppresses[high[overlap].cpu(), low[overlap].cpu()] = True
    suppressed = torch.zeros(len(boxes), dtype=torch.bool)
    kept = []
    for row in range(len(boxes)):
        if len(kept) < post_max and not suppressed[row]:
            kept.append(row)
            suppressed |= suppresses[row]
    return torch.tensor(kept, dtype=torch.int64, device=boxes.device)
