"""Which box a voxel of DSPDet3D is to predict: those nearest to its centre, of its level, in a cube."""

import math

import torch
from jaxtyping import Float, Int64
from sparseops import knn_stacked
from torch import Tensor

from fusion_models.dspdet3d.config import DSPDet3DConfig
from fusion_models.dspdet3d.pairs import pairs_in_cubes
from fusion_models.dspdet3d.targets import TargetBoxes


@torch.no_grad()
def assign(
    points: Float[Tensor, "v 3"],
    boxes: TargetBoxes,
    *,
    rooms: Int64[Tensor, " v"],
    levels: Int64[Tensor, " v"],
    config: DSPDet3DConfig,
) -> Int64[Tensor, " v"]:
    """Return the row of the box that every voxel learns, -1 for background; voxels in any order.

    Candidates of a box are the voxels of its room and level whose lower corner is strictly inside the cube of
    `assign_cells` cells around its centre. Of these the `assign_top` nearest to the centre learn the box:
    those strictly nearer than the next one, so that ties with it drop out. And of a voxel no other centre of
    the room, whatever its level, may be nearer, nor as near and of a lower row. A voxel need not be inside
    the box: small objects may have no voxel inside. Source: released assigner.

    Costs O(v log v), and memory of the voxels near boxes; see `pairs_in_cubes`.

    Args:
        points: x y z in metres of the lower corners of the cells, of all levels together.
        rooms: Number of the room of every voxel.
        levels: Level of every voxel.

    Example:
        >>> zero = torch.zeros(1, dtype=torch.int64)
        >>> cup = TargetBoxes(torch.full((1, 6), 0.1), zero, rooms=zero, levels=zero)
        >>> points = torch.tensor([[0.08, 0.08, 0.08], [0.08, 0.08, 0.4], [0.08, 0.08, 0.08]])
        >>> rooms, levels = torch.tensor([0, 0, 0]), torch.tensor([0, 0, 1])
        >>> assign(points, cup, rooms=rooms, levels=levels, config=DSPDet3DConfig()).tolist()
        [0, -1, -1]
    """
    number = len(config.strides)
    edge = math.inf if config.assign_cells is None else config.assign_cells
    pairs = pairs_in_cubes(
        points,
        boxes.boxes[:, :3],
        point_groups=rooms * number + levels,
        center_groups=boxes.rooms * number + boxes.levels,
        half_m=points.new_tensor([edge * cell_m / 2 for cell_m in config.cells_m])[boxes.levels],
    )
    assigned = torch.full_like(rooms, -1)
    for box, row in pairs:
        box, row = _nearest_voxels(points, boxes, box, row, config.assign_top)
        mine = box == _nearest_boxes(points[row], boxes, rooms[row])
        assigned[row[mine]] = box[mine]
    return assigned


def _nearest_voxels(
    points: Tensor, boxes: TargetBoxes, box: Tensor, row: Tensor, top: int
) -> tuple[Tensor, Tensor]:
    """Return the pairs that are strictly nearer than the one after the first `top` of their box."""
    offset = (points[row] - boxes.boxes[box, :3]).square()
    # Summed in this order on every device, so that ties are the same.
    squared = offset[:, 0] + offset[:, 1] + offset[:, 2]
    order = squared.argsort()
    order = order[box[order].argsort(stable=True)]
    box, row, squared = box[order], row[order], squared[order]
    rank = torch.arange(len(box), device=box.device) - torch.searchsorted(box, box)
    limits = torch.full_like(boxes.boxes[:, 0], math.inf)
    limits[box[rank == top]] = squared[rank == top]
    near = squared < limits[box]
    return box[near], row[near]


def _nearest_boxes(points: Tensor, boxes: TargetBoxes, rooms: Tensor) -> Tensor:
    """Return the nearest box of the room of every point, of equals the first; points lie room after room."""
    batch_size = int(boxes.rooms[-1]) + 1
    point_counts, box_counts = (
        torch.bincount(number, minlength=batch_size) for number in (rooms, boxes.rooms)
    )
    found = knn_stacked(points, point_counts, boxes.boxes[:, :3].contiguous(), box_counts, k=1)
    return found.idx[:, 0] + (box_counts.cumsum(0) - box_counts)[rooms]
