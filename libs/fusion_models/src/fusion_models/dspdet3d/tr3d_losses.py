"""Losses of TR3D: focal for classes, distance IoU for boxes; and which location learns which box.

Divisors are counted over all ranks (`layers.losses.mean_over_ranks`), so that data-parallel training equals
one process on the joined batch; the released code counts on each rank by itself.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from sparseops import TensorFields, knn_stacked
from torch import Tensor

from fusion_models.dspdet3d.batch import RoomBatch
from fusion_models.dspdet3d.inference import decode_boxes
from fusion_models.dspdet3d.labelled import LabelledBoxes, check_outputs, labelled_boxes, volume_levels
from fusion_models.dspdet3d.losses import aligned_diou_loss
from fusion_models.dspdet3d.outputs import DSPDet3DOutputs
from fusion_models.dspdet3d.tr3d import TR3DConfig
from fusion_models.layers.losses import mean_over_ranks, sigmoid_focal


@dataclass(frozen=True, slots=True)
class TR3DLosses(TensorFields):
    """Scalars, weighted."""

    classes: Float[Tensor, ""]
    """Focal loss of all locations per location that learns a box; 0 where none does."""
    boxes: Float[Tensor, ""]
    """Mean distance-IoU loss of the locations that learn a box; 0 where none does."""

    @property
    def total(self) -> Float[Tensor, ""]:
        """What to minimise: their sum."""
        return self.classes + self.boxes


def tr3d_loss(outputs: DSPDet3DOutputs, batch: RoomBatch, config: TR3DConfig) -> TR3DLosses:
    """Return the losses of a forward pass, in single precision also under autocast.

    Rooms without boxes, and levels without voxels, are fine. Without any location that learns a box both
    losses and their gradients are 0 (released: not a number).

    Raises:
        ValueError: A batch without labels, or with labels that are no classes; or outputs of another
            configuration.
    """
    check_outputs(outputs.levels, config)
    boxes = labelled_boxes(batch, num_classes=config.num_classes)
    points, rooms, logits, raw = (
        torch.cat([getattr(level, name) for level in outputs.levels])
        for name in ("points", "batch_indices", "class_logits", "boxes_raw")
    )
    levels = torch.cat([torch.full_like(level.batch_indices, i) for i, level in enumerate(outputs.levels)])
    assigned = assign_nearest(points, boxes, rooms=rooms, levels=levels, config=config)
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
    return TR3DLosses(
        classes=config.class_weight * focal.sum() / count, boxes=config.box_weight * overlap.sum() / count
    )


def levels_of_boxes(boxes: LabelledBoxes, config: TR3DConfig) -> Int64[Tensor, " m"]:
    """Return the level whose locations learn each box: by its class, or by its size.

    Without `label_levels` see `volume_levels`.

    Example:
        >>> zeros = torch.zeros(2, dtype=torch.int64)
        >>> boxes = torch.tensor([[0, 0, 0, 0.5, 0.5, 0.5], [0, 0, 0, 1.0, 1.0, 1.0]])
        >>> levels_of_boxes(LabelledBoxes(boxes, zeros, zeros), TR3DConfig(label_levels=None))
        tensor([0, 1])
    """
    if config.label_levels is not None:
        return boxes.labels.new_tensor(config.label_levels)[boxes.labels]
    return volume_levels(boxes.boxes[:, 3:], cells_m=config.cells_m, threshold=config.volume_threshold)


@torch.no_grad()
def assign_nearest(
    points: Float[Tensor, "v 3"],
    boxes: LabelledBoxes,
    *,
    rooms: Int64[Tensor, " v"],
    levels: Int64[Tensor, " v"],
    config: TR3DConfig,
) -> Int64[Tensor, " v"]:
    """Return the row of the box that every location learns, -1 for background; locations in any order.

    Of its room and level the `assign_top` locations nearest to its centre learn a box: those strictly nearer
    than the next one, so that ties with it drop out. And of a location no other centre of the room, whatever
    its level, may be nearer, nor as near and of a lower row. It need not lie inside the box. Source: released
    assigner.

    Args:
        points: x y z in metres of the lower corners of the cells, of all levels together.
        rooms: Number of the room of every location.
        levels: Level of every location.

    Example:
        >>> zero = torch.zeros(1, dtype=torch.int64)
        >>> cup = LabelledBoxes(torch.full((1, 6), 0.1), zero, zero)
        >>> points, rooms = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 0.16]]), torch.tensor([0, 0])
        >>> assign_nearest(points, cup, rooms=rooms, levels=rooms, config=TR3DConfig(assign_top=1)).tolist()
        [-1, 0]
    """
    assigned = torch.full_like(rooms, -1)
    if not len(points) or not len(boxes.labels):
        return assigned
    number = len(config.strides)
    point_groups, box_groups = rooms * number + levels, boxes.rooms * number + levels_of_boxes(boxes, config)
    groups = int(torch.maximum(point_groups.max(), box_groups.max())) + 1
    point_order, box_order = point_groups.argsort(stable=True), box_groups.argsort(stable=True)
    counts = torch.bincount(point_groups, minlength=groups)
    top = config.assign_top
    found = knn_stacked(
        boxes.boxes[box_order, :3].contiguous(),
        torch.bincount(box_groups, minlength=groups),
        points[point_order].contiguous(),
        counts,
        k=top + 1,
    )
    squared = found.squared_distances
    which, rank = (squared[:, :top] < squared[:, top:]).nonzero(as_tuple=True)
    box = box_order[which]
    row = point_order[(counts.cumsum(0) - counts)[box_groups[box]] + found.idx[which, rank]]
    mine = box == _nearest_boxes(points[row], boxes, rooms[row])
    assigned[row[mine]] = box[mine]
    return assigned


def _nearest_boxes(points: Tensor, boxes: LabelledBoxes, rooms: Tensor) -> Tensor:
    """Return the nearest box of the room of every point, of equals the first; points lie room after room."""
    batch_size = int(boxes.rooms[-1]) + 1
    point_counts, box_counts = (
        torch.bincount(number, minlength=batch_size) for number in (rooms, boxes.rooms)
    )
    found = knn_stacked(points, point_counts, boxes.boxes[:, :3].contiguous(), box_counts, k=1)
    return found.idx[:, 0] + (box_counts.cumsum(0) - box_counts)[rooms]
