"""Residual box codes relative to anchors or RoIs (SECOND, section 3.1.3; released as `ResidualCoder`)."""

import torch
from jaxtyping import Float
from torch import Tensor

MIN_EDGE_M = 1e-5
"""Smallest box edge that is encoded, so that the logarithm stays finite. Source: released code."""


def encode_boxes(boxes: Float[Tensor, "*n 7"], anchors: Float[Tensor, "*n 7"]) -> Float[Tensor, "*n 7"]:
    """Return the codes of boxes relative to their anchors, row by row.

    Boxes and anchors are x y z dx dy dz yaw in one frame (metres, radians, geometric centre). With d the BEV
    diagonal of the anchor: `(x - xa) / d, (y - ya) / d, (z - za) / dza, log(dx / dxa), log(dy / dya),
    log(dz / dza), yaw - yawa`. Edges below 1e-5 m count as 1e-5 m. The yaw difference is not wrapped.

    Example:
        >>> anchor = torch.tensor([[0.0, 0.0, 0.0, 3.0, 4.0, 2.0, 0.0]])
        >>> encode_boxes(torch.tensor([[5.0, 0.0, 1.0, 3.0, 4.0, 2.0, 0.5]]), anchor).tolist()
        [[1.0, 0.0, 0.5, 0.0, 0.0, 0.0, 0.5]]
    """
    box_edges = boxes[..., 3:6].clamp_min(MIN_EDGE_M)
    anchor_edges = anchors[..., 3:6].clamp_min(MIN_EDGE_M)
    offset = boxes[..., :3] - anchors[..., :3]
    return torch.cat(
        [
            offset / _offset_scale(anchor_edges),
            torch.log(box_edges / anchor_edges),
            boxes[..., 6:] - anchors[..., 6:],
        ],
        dim=-1,
    )


def decode_boxes(codes: Float[Tensor, "*n 7"], anchors: Float[Tensor, "*n 7"]) -> Float[Tensor, "*n 7"]:
    """Return the boxes that codes describe; the inverse of `encode_boxes`.

    The yaw is `code + anchor yaw`, not wrapped.

    Example:
        >>> anchor = torch.tensor([[0.0, 0.0, 0.0, 3.0, 4.0, 2.0, 0.0]])
        >>> decode_boxes(torch.tensor([[1.0, 0.0, 0.5, 0.0, 0.0, 0.0, 0.5]]), anchor).tolist()
        [[5.0, 0.0, 1.0, 3.0, 4.0, 2.0, 0.5]]
    """
    anchor_edges = anchors[..., 3:6]
    return torch.cat(
        [
            codes[..., :3] * _offset_scale(anchor_edges) + anchors[..., :3],
            torch.exp(codes[..., 3:6]) * anchor_edges,
            codes[..., 6:] + anchors[..., 6:],
        ],
        dim=-1,
    )


def _offset_scale(edges: Tensor) -> Tensor:
    diagonal = torch.linalg.vector_norm(edges[..., :2], dim=-1, keepdim=True)
    return torch.cat([diagonal, diagonal, edges[..., 2:3]], dim=-1)
