"""Anchors on the bird's-eye-view grid, and which ground-truth box each of them answers for.

Source: SECOND, section 3.2; `AnchorHeadSingle` and `AxisAlignedTargetAssigner` of the released config.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from geom3d import boxes as box_ops
from jaxtyping import Float, Int
from sparseops import TensorFields
from torch import Tensor

from fusion_models.detection.box_coder import encode_boxes

IGNORED = -1
"""Label of an anchor that is neither positive nor negative."""


@dataclass(frozen=True)
class AnchorClass:
    """One object class and its anchor box."""

    name: str
    """Class name as the data set spells it."""
    size: tuple[float, float, float]
    """Edge lengths dx dy dz in metres."""
    bottom_z: float
    """Height of the anchor's bottom face in the LiDAR frame, metres."""
    matched_iou: float
    """An anchor is positive from this BEV IoU on."""
    unmatched_iou: float
    """An anchor is negative below this BEV IoU; in between it is ignored."""

    def __post_init__(self) -> None:
        if min(self.size) <= 0:
            raise ValueError(f"AnchorClass {self.name!r}: size must be positive, got {self.size}")
        if not 0 <= self.unmatched_iou <= self.matched_iou <= 1:
            raise ValueError(
                f"AnchorClass {self.name!r}: expected 0 <= unmatched_iou <= matched_iou <= 1, got "
                f"{self.unmatched_iou} and {self.matched_iou}"
            )


KITTI_ANCHORS = (
    AnchorClass("Car", (3.9, 1.6, 1.56), -1.78, 0.60, 0.45),
    AnchorClass("Pedestrian", (0.8, 0.6, 1.73), -0.6, 0.50, 0.35),
    AnchorClass("Cyclist", (1.76, 0.6, 1.73), -0.6, 0.50, 0.35),
)
"""Source: imagepg.yaml, DENSE_HEAD.ANCHOR_GENERATOR_CONFIG."""


@dataclass(frozen=True, slots=True)
class AnchorTargets(TensorFields):
    """What the anchors of a batch are trained on. P positives, ordered by frame, then by anchor."""

    labels: Int[Tensor, "b a"]
    """-1 ignored, 0 background, k = class k (1..K)."""
    frame_index: Int[Tensor, " p"]
    """Frame of each positive."""
    anchor_index: Int[Tensor, " p"]
    """Anchor of each positive."""
    codes: Float[Tensor, "p 7"]
    """Residual code of the matched box, relative to the anchor."""
    yaw_rad: Float[Tensor, " p"]
    """Heading of the matched box."""


def anchor_grid(
    classes: Sequence[AnchorClass],
    *,
    rotations_rad: Sequence[float],
    bounds: Sequence[float],
    map_size_yx: tuple[int, int],
) -> Float[Tensor, "y x k r 7"]:
    """Return the anchors of every cell, class and rotation.

    The first cell's anchor lies on the lower bound and the last one's on the upper (`align_center False` of
    the released config), so the spacing is `range / (cells - 1)` and not the cell size. Boxes are x y z dx dy
    dz yaw in the LiDAR frame, z the geometric centre.

    Args:
        bounds: x0 y0 z0 x1 y1 z1 in metres.
        map_size_yx: Cells of the BEV map, each at least 2.

    Raises:
        ValueError: A side of the map has fewer than two cells.

    Example:
        >>> bounds = (0.0, -40.0, -3.0, 70.4, 40.0, 1.0)
        >>> cells = (200, 176)
        >>> grid = anchor_grid(KITTI_ANCHORS, rotations_rad=(0.0, 1.57), bounds=bounds, map_size_yx=cells)
        >>> grid.shape, [round(v, 2) for v in grid[0, 1, 0, 1].tolist()]
        (torch.Size([200, 176, 3, 2, 7]), [0.4, -40.0, -1.0, 3.9, 1.6, 1.56, 1.57])
    """
    rows, columns = map_size_yx
    if rows < 2 or columns < 2:
        raise ValueError(f"anchor_grid: map_size_yx must be at least 2 x 2, got {map_size_yx}")
    grid = torch.zeros(rows, columns, len(classes), len(rotations_rad), 7)
    grid[..., 0] = torch.linspace(bounds[0], bounds[3], columns).view(1, columns, 1, 1)
    grid[..., 1] = torch.linspace(bounds[1], bounds[4], rows).view(rows, 1, 1, 1)
    for index, anchor in enumerate(classes):
        grid[:, :, index, :, 2] = anchor.bottom_z + anchor.size[2] / 2
        grid[:, :, index, :, 3:6] = torch.tensor(anchor.size)
    grid[..., 6] = torch.tensor(tuple(rotations_rad), dtype=torch.float32)
    return grid


@torch.no_grad()
def assign_anchors(
    anchors: Float[Tensor, "y x k r 7"],
    boxes: Float[Tensor, "b g 7"],
    labels: Int[Tensor, "b g"],
    *,
    classes: Sequence[AnchorClass],
) -> AnchorTargets:
    """Match the anchors of each class with the boxes of that class.

    The overlap is the BEV IoU of the axis-aligned boxes nearest in heading; heights do not count. An anchor
    is positive from `matched_iou` on, negative below `unmatched_iou`, ignored in between. Besides, every box
    makes its best anchors (all that tie) positive if they overlap at all. An anchor answers for its best box,
    the first of equals. Frames without boxes get background only.

    Args:
        labels: 1..K per box, 0 = padding row.

    Cost: O(anchors x boxes) per class; about 0.1 s for two frames of 211200 anchors and 20 boxes on one core.
    """
    rows, columns, class_count, rotations, _ = anchors.shape
    batch_size = boxes.shape[0]
    out = torch.zeros(
        batch_size, rows, columns, class_count, rotations, dtype=torch.int64, device=anchors.device
    )
    matched = torch.zeros_like(out)
    for frame in range(batch_size):
        for index, anchor_class in enumerate(classes):
            rows_of_class = (labels[frame] == index + 1).nonzero()[:, 0]
            if len(rows_of_class) == 0:
                continue
            state, best = _match(
                anchors[:, :, index].reshape(-1, 7), boxes[frame, rows_of_class], anchor_class=anchor_class
            )
            out[frame, :, :, index] = (state * torch.where(state > 0, index + 1, 1)).view(
                rows, columns, rotations
            )
            matched[frame, :, :, index] = rows_of_class[best].view(rows, columns, rotations)
    flat_labels, flat_matched = out.flatten(1), matched.flatten(1)
    frame_index, anchor_index = (flat_labels > 0).nonzero(as_tuple=True)
    box_of_positive = boxes[frame_index, flat_matched[frame_index, anchor_index]]
    codes = encode_boxes(box_of_positive, anchors.reshape(-1, 7)[anchor_index])
    return AnchorTargets(flat_labels, frame_index, anchor_index, codes, box_of_positive[:, 6])


def nearest_bev_iou(first: Float[Tensor, "n 7"], second: Float[Tensor, "m 7"]) -> Float[Tensor, "n m"]:
    """Return the BEV IoU of boxes after each is turned to the nearest multiple of pi / 2.

    Example:
        >>> car = torch.tensor([[0.0, 0, 0, 4, 2, 1.5, 0.1]])
        >>> others = torch.tensor([[0.0, 0, 9, 4, 2, 1.5, -0.1], [0, 0, 0, 4, 2, 1.5, 1.6]])
        >>> [round(iou, 3) for iou in nearest_bev_iou(car, others)[0].tolist()]
        [1.0, 0.333]
    """
    a, b = box_ops.bev_aabb(first), box_ops.bev_aabb(second)
    width = torch.minimum(a[:, None, 2], b[:, 2]) - torch.maximum(a[:, None, 0], b[:, 0])
    height = torch.minimum(a[:, None, 3], b[:, 3]) - torch.maximum(a[:, None, 1], b[:, 1])
    shared = width.clamp_min(0) * height.clamp_min(0)
    area_a = (a[:, 2] - a[:, 0]) * (a[:, 3] - a[:, 1])
    area_b = (b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1])
    return shared / (area_a[:, None] + area_b - shared).clamp_min(1e-6)


def _match(anchors: Tensor, boxes: Tensor, *, anchor_class: AnchorClass) -> tuple[Tensor, Tensor]:
    """Return 1 / 0 / -1 per anchor and the row of its best box."""
    overlap = nearest_bev_iou(anchors, boxes)
    best_overlap, best_box = overlap.max(dim=1)
    state = torch.full_like(best_box, IGNORED)
    state[best_overlap < anchor_class.unmatched_iou] = 0
    state[best_overlap >= anchor_class.matched_iou] = 1
    best_of_box = overlap.amax(dim=0)
    forced = ((overlap == best_of_box) & (best_of_box > 0)).any(dim=1)
    state[forced] = 1
    return state, best_box
