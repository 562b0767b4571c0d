"""Losses of FCAF3D: focal for classes, IoU for boxes, cross-entropy for centerness; and what learns what.

Every room has divisors of its own, and all rooms of all ranks weigh the same. The released code averages the
divisors of the rooms of equal number over ranks; on one GPU that is the same.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from sparseops import TensorFields, paired_iou_aligned_3d
from torch import Tensor

from fusion_models.dspdet3d.batch import RoomBatch
from fusion_models.dspdet3d.fcaf3d import FCAF3DConfig, FCAF3DOutputs
from fusion_models.dspdet3d.inference import decode_boxes
from fusion_models.dspdet3d.labelled import LabelledBoxes, check_outputs, labelled_boxes
from fusion_models.dspdet3d.pairs import pairs_in_cubes
from fusion_models.layers.losses import mean_over_ranks, sigmoid_focal


@dataclass(frozen=True, slots=True)
class FCAF3DLosses(TensorFields):
    """Scalars, weighted; means over rooms."""

    classes: Float[Tensor, ""]
    """Focal loss of all locations of a room, per location that learns a box; per room if there is none."""
    boxes: Float[Tensor, ""]
    """Mean of 1 - IoU over the locations that learn a box, weighted with their centerness; 0 for none."""
    centers: Float[Tensor, ""]
    """Mean binary cross-entropy of the centerness of the locations that learn a box; 0 for none."""

    @property
    def total(self) -> Float[Tensor, ""]:
        """What to minimise: their sum."""
        return self.classes + self.boxes + self.centers


def fcaf3d_loss(outputs: FCAF3DOutputs, batch: RoomBatch, config: FCAF3DConfig) -> FCAF3DLosses:
    """Return the losses of a forward pass, in single precision also under autocast.

    Rooms without boxes, and levels without voxels, are fine.

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
    assigned = assign_central(points, boxes, rooms=rooms, levels=levels, config=config)
    rows = (assigned >= 0).nonzero()[:, 0]
    learnt, room = assigned[rows], rooms[rows]
    positives = torch.bincount(room, minlength=len(batch))
    targets = torch.zeros_like(logits, dtype=torch.float32)
    targets[rows, boxes.labels[learnt]] = 1
    focal = sigmoid_focal(logits.float(), targets, alpha=config.focal_alpha, gamma=config.focal_gamma)
    with torch.autocast(points.device.type, enabled=False):
        central = centerness(points[rows], boxes.boxes[learnt])
        found = F.pad(decode_boxes(points[rows], raw[rows]), (0, 1))
        overlap = central * (1 - paired_iou_aligned_3d(found, F.pad(boxes.boxes[learnt], (0, 1))))
        entropy = F.binary_cross_entropy_with_logits(
            torch.cat(outputs.center_logits)[rows].float(), central, reduction="none"
        )
    weights = central.new_zeros(len(batch)).index_add(0, room, central).clamp(min=1e-6)
    total_rooms = mean_over_ranks(torch.tensor(len(batch), device=points.device))
    return FCAF3DLosses(
        classes=config.class_weight * (focal.sum(1) / positives.clamp(min=1)[rooms]).sum() / total_rooms,
        boxes=config.box_weight * (overlap / weights[room]).sum() / total_rooms,
        centers=config.center_weight * (entropy / positives[room]).sum() / total_rooms,
    )


def faces(points: Float[Tensor, "n 3"], boxes: Float[Tensor, "n 6"]) -> Float[Tensor, "n 3 2"]:
    """Return the distance of every point to the low and the high face of its box, x y z; positive inside.

    Example:
        >>> faces(torch.zeros(1, 3), torch.tensor([[1.0, 0.0, 0.0, 4.0, 2.0, 1.0]])).tolist()
        [[[1.0, 3.0], [1.0, 1.0], [0.5, 0.5]]]
    """
    shift, half = points - boxes[:, :3], boxes[:, 3:] / 2
    return torch.stack([shift + half, half - shift], dim=2)


def centerness(points: Float[Tensor, "n 3"], boxes: Float[Tensor, "n 6"]) -> Float[Tensor, " n"]:
    """Return how central points are in boxes that hold them: 1 at the centre, 0 at a face.

    The root of the product over the axes of the nearer face's distance by the other's.

    Example:
        >>> centerness(torch.zeros(1, 3), torch.tensor([[0.5, 0.0, 0.0, 5 / 3, 2.0, 1.0]]))
        tensor([0.5000])
    """
    low, high = faces(points, boxes).unbind(2)
    ratios = torch.minimum(low, high) / torch.maximum(low, high)
    return (ratios[:, 0] * ratios[:, 1] * ratios[:, 2]).sqrt()


@torch.no_grad()
def assign_central(
    points: Float[Tensor, "v 3"],
    boxes: LabelledBoxes,
    *,
    rooms: Int64[Tensor, " v"],
    levels: Int64[Tensor, " v"],
    config: FCAF3DConfig,
) -> Int64[Tensor, " v"]:
    """Return the row of the box that every location learns, -1 for background; locations in any order.

    Candidates of a box are the locations strictly inside it, of one level: the coarsest one up to which all
    levels have `assign_least` of them, else the finest. Of these the `assign_top` most central ones learn
    the box: those strictly more central than the next one, so that ties with it drop out. A location that may
    learn several boxes learns the smallest, of equal volumes the first. Source: released assigner.

    Memory as `pairs_in_cubes`, of the cubes around boxes.

    Args:
        points: x y z in metres of the lower corners of the cells, of all levels together.
        rooms: Number of the room of every location.
        levels: Level of every location.

    Example:
        >>> zero = torch.zeros(1, dtype=torch.int64)
        >>> box = LabelledBoxes(torch.tensor([[0.0, 0, 0, 1, 1, 1]]), zero, zero)
        >>> points, rooms = torch.tensor([[0.1, 0, 0], [0.0, 0, 0.6]]), torch.tensor([0, 0])
        >>> assign_central(points, box, rooms=rooms, levels=rooms, config=FCAF3DConfig()).tolist()
        [0, -1]
    """
    pairs = pairs_in_cubes(
        points,
        boxes.boxes[:, :3],
        point_groups=rooms,
        center_groups=boxes.rooms,
        # A little wider: what is inside is decided by the faces.
        half_m=boxes.boxes[:, 3:].amax(1) * 0.5001,
    )
    found = [_most_central(points, boxes.boxes, box, row, levels, config) for box, row in pairs]
    assigned = torch.full_like(rooms, -1)
    if found:
        box, row = (torch.cat(part) for part in zip(*found, strict=True))
        volumes = boxes.boxes[:, 3] * boxes.boxes[:, 4] * boxes.boxes[:, 5]
        order = box.argsort(stable=True)
        order = order[volumes[box[order]].argsort(stable=True)]
        order = order[row[order].argsort(stable=True)]
        first = torch.ones_like(order, dtype=torch.bool)
        first[1:] = row[order[1:]] != row[order[:-1]]
        order = order[first]
        assigned[row[order]] = box[order]
    return assigned


def _most_central(
    points: Tensor, boxes: Tensor, box: Tensor, row: Tensor, levels: Tensor, config: FCAF3DConfig
) -> tuple[Tensor, Tensor]:
    """Return those of the pairs of some boxes that are inside, of the box's level and among the best."""
    inside = (faces(points[row], boxes[box]) > 0).flatten(1).all(1)
    box, row = box[inside], row[inside]
    number = len(config.strides)
    counts = torch.bincount(box * number + levels[row], minlength=len(boxes) * number).view(-1, number)
    enough = (counts >= config.assign_least).long().cumprod(1).sum(1)
    on_level = levels[row] == (enough - 1).clamp(min=0)[box]
    box, row = box[on_level], row[on_level]
    central = centerness(points[row], boxes[box])
    order = central.argsort(descending=True)
    order = order[box[order].argsort(stable=True)]
    box, row, central = box[order], row[order], central[order]
    rank = torch.arange(len(box), device=box.device) - torch.searchsorted(box, box)
    limits = torch.full_like(boxes[:, 0], -1)
    limits[box[rank == config.assign_top]] = central[rank == config.assign_top]
    best = central > limits[box]
    return box[best], row[best]
