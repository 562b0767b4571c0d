"""Multi-scale deformable attention through grid_sample, any device. This file decides what is right."""

import torch
from torch import Tensor
from torch.nn.functional import grid_sample


def ms_deform_attn(value: Tensor, shapes: list[int], locations: Tensor, weights: Tensor) -> Tensor:
    """Return [B, Q, H * D]; `shapes` holds h, w of each level in turn."""
    b, _, heads, d = value.shape
    queries, points = locations.shape[1], locations.shape[4]
    sampled = []
    start = 0
    for level, (h, w) in enumerate(zip(shapes[::2], shapes[1::2], strict=True)):
        level_map = value[:, start : start + h * w].permute(0, 2, 3, 1).reshape(b * heads, d, h, w)
        start += h * w
        grid = 2 * locations[:, :, :, level].transpose(1, 2).reshape(b * heads, queries, points, 2) - 1
        sampled.append(
            grid_sample(level_map, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        )
    flat_weights = weights.transpose(1, 2).reshape(b * heads, 1, queries, len(sampled) * points)
    out = (torch.cat(sampled, dim=-1) * flat_weights).sum(-1)
    return out.view(b, heads * d, queries).transpose(1, 2).contiguous()
