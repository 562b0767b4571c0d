"""Losses of DSPDet3D: focal for classes, distance IoU for boxes, focal for what may be pruned.

Every divisor is counted over all ranks (`layers.losses.mean_over_ranks`), so that data-parallel training
equals one process on the joined batch; the released code counts on each rank by itself.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from sparseops import TensorFields, paired_iou_aligned_3d
from torch import Tensor

from fusion_models.dspdet3d.assign import assign
from fusion_models.dspdet3d.batch import RoomBatch
from fusion_models.dspdet3d.config import DSPDet3DConfig
from fusion_models.dspdet3d.inference import decode_boxes
from fusion_models.dspdet3d.outputs import DSPDet3DOutputs
from fusion_models.dspdet3d.targets import TargetBoxes, keep_targets, target_boxes
from fusion_models.layers.losses import mean_over_ranks, sigmoid_focal


@dataclass(frozen=True, slots=True)
class DSPDet3DLosses(TensorFields):
    """Scalars, weighted."""

    classes: Float[Tensor, ""]
    """Focal loss of all voxels per voxel that learns a box; 0 where none does."""
    boxes: Float[Tensor, ""]
    """Mean distance-IoU loss of the voxels that learn a box; 0 where none does."""
    keep: Float[Tensor, ""]
    """Focal loss of the pruning, mean over rooms and levels."""

    @property
    def total(self) -> Float[Tensor, ""]:
        """What to minimise: their sum."""
        return self.classes + self.boxes + self.keep


def dspdet3d_loss(outputs: DSPDet3DOutputs, batch: RoomBatch, config: DSPDet3DConfig) -> DSPDet3DLosses:
    """Return the losses of a forward pass in training mode, in single precision also under autocast.

    Rooms without boxes, and levels without voxels, are fine. Without any voxel that learns a box, losses of
    classes and boxes and their gradients are 0 (released: not a number).

    Raises:
        ValueError: A batch without labels, or with labels that are no classes; or outputs of another
            configuration.
    """
    _check(outputs, config)
    boxes = target_boxes(batch, config)
    levels = outputs.levels
    points, rooms, logits, raw = (
        torch.cat([getattr(level, name) for level in levels])
        for name in ("points", "batch_indices", "class_logits", "boxes_raw")
    )
    numbers = torch.cat([torch.full_like(level.batch_indices, i) for i, level in enumerate(levels)])
    assigned = assign(points, boxes, rooms=rooms, levels=numbers, config=config)
    rows = (assigned >= 0).nonzero()[:, 0]
    learnt = assigned[rows]
    count = mean_over_ranks(torch.tensor(len(rows), device=points.device))
    # Nothing is left of what is divided by infinity, neither value nor gradient.
    count = count.where(count > 0, math.inf)
    targets = torch.zeros_like(logits, dtype=torch.float32)
    targets[rows, boxes.labels[learnt]] = 1
    focal = sigmoid_focal(logits.float(), targets, alpha=config.focal_alpha, gamma=config.focal_gamma)
    with torch.autocast(points.device.type, enabled=False):
        overlap = aligned_diou_loss(decode_boxes(points[rows], raw[rows]), boxes.boxes[learnt])
    return DSPDet3DLosses(
        classes=config.class_weight * focal.sum() / count,
        boxes=config.box_weight * overlap.sum() / count,
        keep=config.keep_weight * _keep_loss(outputs, boxes, len(batch), config),
    )


def aligned_diou_loss(boxes: Float[Tensor, "n 6"], targets: Float[Tensor, "n 6"]) -> Float[Tensor, " n"]:
    """Return 1 - IoU + (distance of centres / diagonal of the box around both)^2, row by row, in 0..2.

    Boxes are centre and size along the axes. The gradient flows through all terms. Two boxes in one point: 1.
    Source: Zheng et al., AAAI 2020, equation 7.

    Example:
        >>> box = torch.tensor([[0.0, 0.0, 0.0, 1.0, 1.0, 1.0]])
        >>> aligned_diou_loss(box, box + torch.tensor([1.0, 0, 0, 0, 0, 0]))
        tensor([1.1667])
    """
    iou = paired_iou_aligned_3d(F.pad(boxes, (0, 1)), F.pad(targets, (0, 1)))
    offset = targets[:, :3] - boxes[:, :3]
    half, target_half = boxes[:, 3:] / 2, targets[:, 3:] / 2
    around = torch.maximum(half, offset + target_half) - torch.minimum(-half, offset - target_half)
    tiny = torch.finfo(boxes.dtype).tiny
    return 1 - iou + offset.square().sum(1) / around.square().sum(1).clamp(min=tiny)


def keep_loss(
    prune_logits: Float[Tensor, " v"],
    keep: Bool[Tensor, " v"],
    *,
    rooms: Int64[Tensor, " v"],
    batch_size: int,
    config: DSPDet3DConfig,
) -> Float[Tensor, ""]:
    """Return the focal loss of one level: of each room per voxel to keep, summed over rooms.

    A room with nothing to keep is divided by the number of its voxels; one without voxels adds 0. Foreground,
    with `focal_alpha`, is what may be pruned. Source: released head.

    Args:
        prune_logits: Their sigmoid is the probability of pruning.
        keep: See `keep_targets`.
        rooms: Number of the room of every voxel.
        batch_size: Number of rooms.
    """
    prune = (~keep).float()
    focal = sigmoid_focal(prune_logits.float(), prune, alpha=config.focal_alpha, gamma=config.focal_gamma)
    kept, voxels = (torch.bincount(number, minlength=batch_size) for number in (rooms[keep], rooms))
    return (focal / kept.where(kept > 0, voxels)[rooms]).sum()


def _keep_loss(
    outputs: DSPDet3DOutputs, boxes: TargetBoxes, batch_size: int, config: DSPDet3DConfig
) -> Float[Tensor, ""]:
    """Return the mean over all rooms of all ranks, and over the levels that may be pruned."""
    found = []
    for number, level in enumerate(outputs.levels):
        rooms, logits = level.batch_indices, level.prune_logits
        if logits is not None:
            keep = keep_targets(level.points, boxes, rooms=rooms, level=number, config=config)
            found.append(keep_loss(logits, keep, rooms=rooms, batch_size=batch_size, config=config))
    total_rooms = mean_over_ranks(torch.tensor(batch_size, device=found[0].device))
    return torch.stack(found).mean() / total_rooms


def _check(outputs: DSPDet3DOutputs, config: DSPDet3DConfig) -> None:
    strides = tuple(level.stride for level in outputs.levels)
    if strides != config.strides:
        raise ValueError(
            f"DSPDet3DOutputs.levels: expected levels of stride {config.strides}, got {strides}; compute the "
            "loss with the configuration of the network"
        )
    for number, level in enumerate(outputs.levels):
        if level.class_logits.shape[1] != config.num_classes:
            raise ValueError(
                f"DSPDet3DOutputs.levels[{number}].class_logits: expected a column for each of "
                f"{config.num_classes} classes, got {level.class_logits.shape[1]}; compute the loss with the "
                "configuration of the network"
            )
        if number and level.prune_logits is None:
            raise ValueError(
                f"DSPDet3DOutputs.levels[{number}].prune_logits: expected one number per voxel, got None"
            )
