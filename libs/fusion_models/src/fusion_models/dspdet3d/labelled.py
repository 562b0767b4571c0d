"""The labelled boxes of a batch, checked; levels by the size of boxes."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from sparseops import TensorFields
from torch import Tensor

from fusion_models.dspdet3d.baseline_config import BaselineConfig
from fusion_models.dspdet3d.batch import RoomBatch
from fusion_models.dspdet3d.outputs import LevelOutputs


@dataclass(frozen=True, slots=True)
class LabelledBoxes(TensorFields):
    """The m boxes of a batch, room after room."""

    boxes: Float[Tensor, "m 6"]
    """Centre x y z and size dx dy dz in metres."""
    labels: Int64[Tensor, " m"]
    """Index of the class."""
    rooms: Int64[Tensor, " m"]
    """Number of the room in the batch, ascending."""


def labelled_boxes(batch: RoomBatch, *, num_classes: int) -> LabelledBoxes:
    """Return the boxes of a batch with their rooms.

    Raises:
        ValueError: No labels, numbers of boxes that do not go together, or a label that is no class.
    """
    boxes, labels, counts = batch.boxes, batch.labels, batch.box_counts
    if boxes is None or labels is None or counts is None:
        raise ValueError("RoomBatch has no boxes, labels or box_counts; train on labelled rooms")
    if not sum(counts) == len(boxes) == len(labels) or len(counts) != len(batch):
        raise ValueError(
            f"RoomBatch.box_counts: {counts} must be one number for each of {len(batch)} rooms and add up to "
            f"the rows of boxes, {len(boxes)}, and of labels, {len(labels)}; see collate_rooms"
        )
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < num_classes:
        raise ValueError(
            f"RoomBatch.labels must lie in 0 to {num_classes - 1}, got {int(labels.min())} to "
            f"{int(labels.max())}; collate rooms with the class_names of the configuration"
        )
    number = torch.tensor(counts, device=boxes.device)
    rooms = torch.arange(len(counts), device=boxes.device).repeat_interleave(number, output_size=len(boxes))
    return LabelledBoxes(boxes, labels, rooms)


def volume_levels(
    sizes: Float[Tensor, "m 3"], *, cells_m: Sequence[float], threshold: float
) -> Int64[Tensor, " m"]:
    """Return the coarsest level of which a box fills more than `threshold` cells, strictly, else 0.

    Counted in double precision.

    Args:
        sizes: dx dy dz in metres.
        cells_m: Edge of the cells of every level in metres, finest first.

    Example:
        >>> sizes = torch.tensor([[0.1, 0.1, 0.1], [0.5, 0.5, 0.5]])
        >>> volume_levels(sizes, cells_m=(0.04, 0.08, 0.16), threshold=27.0)
        tensor([0, 2])
    """
    coarser = [threshold * cell_m**3 for cell_m in cells_m[1:]]
    thresholds = torch.tensor(coarser, dtype=torch.float64, device=sizes.device)
    return (sizes.double().prod(1, keepdim=True) > thresholds).sum(1)


def check_outputs(levels: tuple[LevelOutputs, ...], config: BaselineConfig) -> None:
    """Raise ValueError unless outputs have the levels and classes of a configuration."""
    strides = tuple(level.stride for level in levels)
    if strides != config.strides:
        raise ValueError(
            f"outputs.levels: expected levels of stride {config.strides}, got {strides}; compute the loss "
            "with the configuration of the network"
        )
    for number, level in enumerate(levels):
        if level.class_logits.shape[1] != config.num_classes:
            raise ValueError(
                f"outputs.levels[{number}].class_logits: expected a column for each of "
                f"{config.num_classes} classes, got {level.class_logits.shape[1]}; compute the loss with the "
                "configuration of the network"
            )
