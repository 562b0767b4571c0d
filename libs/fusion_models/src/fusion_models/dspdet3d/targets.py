"""What the voxels of DSPDet3D are to learn: the level of every box, and which voxels to keep for it."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from sparseops import TensorFields
from torch import Tensor

from fusion_models.dspdet3d.batch import RoomBatch
from fusion_models.dspdet3d.config import DSPDet3DConfig
from fusion_models.dspdet3d.labelled import labelled_boxes, volume_levels
from fusion_models.dspdet3d.pairs import pairs_in_cubes


@dataclass(frozen=True, slots=True)
class TargetBoxes(TensorFields):
    """The m labelled boxes of a batch, room after room."""

    boxes: Float[Tensor, "m 6"]
    """Centre x y z and size dx dy dz in metres."""
    labels: Int64[Tensor, " m"]
    """Index of the class."""
    rooms: Int64[Tensor, " m"]
    """Number of the room in the batch, ascending."""
    levels: Int64[Tensor, " m"]
    """Level whose voxels learn the box; see `box_levels`."""


def target_boxes(batch: RoomBatch, config: DSPDet3DConfig) -> TargetBoxes:
    """Return the boxes of a batch with their rooms and levels.

    Raises:
        ValueError: No labels, numbers of boxes that do not go together, or a label that is no class.
    """
    found = labelled_boxes(batch, num_classes=config.num_classes)
    levels = box_levels(found.boxes[:, 3:], config)
    return TargetBoxes(found.boxes, found.labels, found.rooms, levels)


def box_levels(sizes: Float[Tensor, "m 3"], config: DSPDet3DConfig) -> Int64[Tensor, " m"]:
    """Return the coarsest level of which a box fills more than `volume_threshold` cells, strictly, else 0.

    Counted in double precision. The sizes are those after augmentation. Source: released code
    (`assign_type='volume'`).

    Args:
        sizes: dx dy dz in metres.

    Example:
        >>> box_levels(torch.tensor([[0.1, 0.1, 0.1], [0.5, 0.5, 0.5], [2.0, 2.0, 1.0]]), DSPDet3DConfig())
        tensor([0, 2, 3])
    """
    return volume_levels(sizes, cells_m=config.cells_m, threshold=config.volume_threshold)


@torch.no_grad()
def keep_targets(
    points: Float[Tensor, "v 3"],
    boxes: TargetBoxes,
    *,
    rooms: Int64[Tensor, " v"],
    level: int,
    config: DSPDet3DConfig,
) -> Bool[Tensor, " v"]:
    """Mark the voxels of a level that must not be pruned for the sake of a box of a finer level.

    That is where the centre of such a box of the same room lies closer than half the edge of a cube,
    strictly, along every axis. How large the cube is says `DSPDet3DConfig.keep_rule`. Source: released code,
    whose targets get into the wrong rows where voxels are not sorted by room; these do not.

    Args:
        points: x y z in metres of the lower corners of the cells, in any order.
        rooms: Number of the room of every voxel.
        level: Of the voxels; at level 0 none is marked.

    Example:
        >>> cup = TargetBoxes(
        ...     torch.full((1, 6), 0.1), *(torch.zeros(1, dtype=torch.int64) for _ in range(3))
        ... )
        >>> points, config = torch.tensor([[0.0, 0.0, 0.0], [0.4, 0.0, 0.0]]), DSPDet3DConfig()
        >>> rooms = torch.zeros(2, dtype=torch.int64)
        >>> keep_targets(points, cup, rooms=rooms, level=1, config=config).tolist()  # closer than 0.28 m
        [True, False]
        >>> keep_targets(points, cup, rooms=rooms, level=2, config=config).tolist()  # closer than 0.56 m
        [True, True]
    """
    finer = boxes.levels < level
    levels = boxes.levels[finer]
    pairs = pairs_in_cubes(
        points,
        boxes.boxes[finer, :3],
        point_groups=rooms,
        center_groups=boxes.rooms[finer],
        half_m=points.new_tensor(_keep_halves(level, config))[levels],
    )
    keep = torch.zeros(len(points), dtype=torch.bool, device=points.device)
    for _, rows in pairs:
        keep[rows] = True
    return keep


def _keep_halves(level: int, config: DSPDet3DConfig) -> list[float]:
    """Return half the edge of the cube in metres, for boxes of every finer level."""
    if config.keep_rule == "v4":
        return [config.keep_radius * config.cells_m[level] / 2] * level
    return [(config.keep_radius + 1) / 4 * config.cells_m[finer + 1] for finer in range(level)]
