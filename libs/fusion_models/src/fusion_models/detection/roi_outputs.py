"""What one refinement stage returns, and how its box codes become boxes."""

from dataclasses import dataclass

import torch
from geom3d import boxes as box_geometry
from jaxtyping import Float
from sparseops import TensorFields
from torch import Tensor

from fusion_models.detection.box_coder import decode_boxes


@dataclass(frozen=True, slots=True)
class RoiOutputs(TensorFields):
    """Results of one stage for n = b * r RoIs, in the frame of the RoIs it was given."""

    rois: Float[Tensor, "b r 7"]
    logits: Float[Tensor, "n 1"]
    """Confidence before the sigmoid."""
    deltas: Float[Tensor, "n 7"]
    """Box codes relative to the RoI in its own frame."""
    points: Float[Tensor, "n g 3"] | None
    """Generated points; None from a head that generates none (Voxel R-CNN)."""
    point_logits: Float[Tensor, "n g"] | None
    """Foreground logits of the points; None together with them."""
    boxes: Float[Tensor, "b r 7"]
    """Refined boxes, without gradient: RoIs of the next stage."""
    feature: Float[Tensor, "n f"]
    """Feature of the stage, for the attention of later stages over it."""


def decode_rois(deltas: Float[Tensor, "n 7"], rois: Float[Tensor, "n 7"]) -> Float[Tensor, "n 7"]:
    """Return the boxes that codes describe relative to RoIs.

    Offsets are along the RoI's own axes, the heading is that of the RoI plus the code.

    Example:
        >>> roi = torch.tensor([[10.0, 0.0, 0.0, 3.0, 4.0, 2.0, torch.pi / 2]])
        >>> forward = torch.tensor([[1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]])  # by one diagonal of 5 m
        >>> decode_rois(forward, roi).round(decimals=3)[0, :2].tolist()
        [10.0, 5.0]
    """
    local = decode_boxes(deltas, torch.cat([torch.zeros_like(rois[:, :3]), rois[:, 3:]], dim=1))
    centre = box_geometry.from_canonical(local[:, None, :3], rois)[:, 0]
    return torch.cat([centre, local[:, 3:]], dim=1)
