"""Losses of the second stage (PG-RCNN, arXiv 2307.12637, and ImagePG, arXiv 2409.14985; released code).

Every divisor is counted over all ranks (`losses.mean_over_ranks`), so that data-parallel training equals one
process.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from geom3d import boxes as box_geometry
from jaxtyping import Float, Int
from sparseops import TensorFields, furthest_point_sample, points_in_boxes
from torch import Tensor

from fusion_models.detection.box_coder import decode_boxes, encode_boxes
from fusion_models.detection.roi_outputs import RoiOutputs, decode_rois
from fusion_models.detection.roi_targets import RoiTargets
from fusion_models.layers.losses import mean_over_ranks, sigmoid_focal, smooth_l1

_CHUNK_PAIRS = 1 << 24
"""Pairs of points whose distances are held at once."""
_LOSSES = ("score", "box", "corner", "overlap", "point", "chamfer")
_SIDE_MARGIN_M = 1e-5
"""Added to the sides of boxes in tests of points. Source: the released CUDA kernel."""


@dataclass(frozen=True)
class RoiLossConfig:
    """Weights and settings. Defaults: imagepg.yaml, LOSS_CONFIG."""

    score_weight: float = 1.0
    """Source: rcnn_cls_weight."""
    box_weight: float = 1.0
    """Source: rcnn_reg_weight."""
    corner_weight: float = 2.0
    """rcnn_corner_weight is 1, but the released code adds the corner loss twice."""
    overlap_weight: float = 1.0
    """Of the overlap and direction loss ("od", from TED); PG-RCNN has none: 0."""
    point_weight: float = 1.0
    """Source: point_cls_weight."""
    chamfer_weight: float = 1.0
    """Needs dense points of the objects unless it is 0. Source: chamfer_dist_weight."""
    sample_points: int = 4096
    """Generated points per frame that are classified. Source: SAMPLE_POINTS."""
    ring_m: float = 0.2
    """Total enlargement of boxes for point labels. Source: TARGET_CONFIG.GT_EXTRA_WIDTH."""
    ring_labels: Literal["foreground", "ignored"] = "foreground"
    """Points in the enlarged box but outside the box. The papers ignore them; the released code writes -1
    into a boolean tensor, which makes them foreground, and the published numbers were made so."""
    min_chamfer_points: int = 10
    """Objects with fewer dense points get no Chamfer loss; PG-RCNN: 0. Source: MIN_CD_POINTS."""

    def __post_init__(self) -> None:
        if self.sample_points < 1 or self.ring_m < 0:
            raise ValueError(
                "RoiLossConfig: sample_points must be positive and ring_m not negative, got "
                f"{self.sample_points} and {self.ring_m}"
            )


@dataclass(frozen=True, slots=True)
class RoiLosses(TensorFields):
    """Losses of one stage, normalised but not weighted, and their weighted sum."""

    score: Float[Tensor, ""]
    box: Float[Tensor, ""]
    corner: Float[Tensor, ""]
    overlap: Float[Tensor, ""]
    point: Float[Tensor, ""]
    chamfer: Float[Tensor, ""]
    total: Float[Tensor, ""]


def roi_loss(
    outputs: RoiOutputs,
    targets: RoiTargets,
    dense_points: Float[Tensor, "m columns"] | None,
    boxes: Float[Tensor, "b g 7"],
    config: RoiLossConfig,
) -> RoiLosses:
    """Return the losses of one stage.

    Without foreground the box losses and the Chamfer loss are 0 and their gradients too. An overlap, point or
    Chamfer loss of weight 0 is not computed and reported as 0, as are the latter two for a head that
    generates no points. Autocast is off in here.

    Args:
        outputs: Of the RoIs in `targets`, same order.
        dense_points: Complete surfaces of the objects, columns frame index x y z (more are ignored); zero
            rows if the objects have none, None if the data set was prepared without.
        boxes: All annotated boxes of the frames, zero padded.

    Raises:
        ValueError: `dense_points` is None but the Chamfer loss wants them.
    """
    with torch.autocast(boxes.device.type, enabled=False):
        values = _box_losses(outputs, targets, config)
        if outputs.points is not None and outputs.point_logits is not None:
            values |= _point_losses(
                outputs.points, outputs.point_logits, targets, dense_points, boxes, config=config
            )
        zero = outputs.deltas.sum() * 0.0
        losses = {name: values.get(name, zero) for name in _LOSSES}
        total = sum((getattr(config, f"{name}_weight") * value for name, value in losses.items()), start=zero)
    return RoiLosses(**losses, total=total)


def _box_losses(outputs: RoiOutputs, targets: RoiTargets, config: RoiLossConfig) -> dict[str, Tensor]:
    foreground = targets.learns_box.flatten()
    count = foreground.sum()
    rois = targets.rois.flatten(0, 1)[foreground]
    objects = targets.boxes.flatten(0, 1)[foreground]
    deltas = outputs.deltas[foreground]
    divisor = mean_over_ranks(count, at_least=1.0)
    values = {
        "score": _score_loss(outputs.logits, targets),
        "box": box_loss(deltas, rois, objects).sum() / divisor,
        "corner": corner_loss(decode_rois(deltas, rois), objects).sum() / divisor,
    }
    if config.overlap_weight:
        # the released divisor is the foreground count plus one
        plus_one = mean_over_ranks(count) + mean_over_ranks(torch.zeros_like(count), at_least=1.0)
        local = decode_boxes(deltas, _at_origin(rois))
        values["overlap"] = overlap_loss(local, relative_boxes(objects, rois)).sum() / plus_one
    return values


def _point_losses(
    points: Tensor,
    logits: Tensor,
    targets: RoiTargets,
    dense_points: Tensor | None,
    boxes: Tensor,
    *,
    config: RoiLossConfig,
) -> dict[str, Tensor]:
    values = {}
    if config.point_weight:
        values["point"] = point_loss(points, logits, boxes, config=config)
    if config.chamfer_weight:
        if dense_points is None:
            raise ValueError(
                f"roi_loss: chamfer_weight is {config.chamfer_weight} but dense_points is None; complete the "
                "objects of the data set (python -m datasets3d complete kitti), or train without by "
                "RoiLossConfig.chamfer_weight 0"
            )
        values["chamfer"] = chamfer_loss(points, targets, dense_points, boxes, config=config)
    return values


def relative_boxes(boxes: Float[Tensor, "n 7"], rois: Float[Tensor, "n 7"]) -> Float[Tensor, "n 7"]:
    """Return boxes in the frames of their RoIs, headings folded to -pi/2..pi/2 (front as back)."""
    centre = box_geometry.to_canonical(boxes[:, None, :3], rois)[:, 0]
    yaw = boxes[:, 6:] - rois[:, 6:]
    folded = yaw - torch.round(yaw / math.pi) * math.pi
    return torch.cat([centre, boxes[:, 3:6], folded], dim=1)


def box_loss(
    deltas: Float[Tensor, "n 7"], rois: Float[Tensor, "n 7"], boxes: Float[Tensor, "n 7"]
) -> Float[Tensor, " n"]:
    """Return the smooth-L1 loss (beta 1/9) of the codes, summed over the seven, per RoI."""
    codes = encode_boxes(relative_boxes(boxes, rois), _at_origin(rois))
    return smooth_l1(deltas - codes).sum(1)


def corner_loss(predicted: Float[Tensor, "n 7"], boxes: Float[Tensor, "n 7"]) -> Float[Tensor, " n"]:
    """Return the mean smooth-L1 (beta 1) distance of the corners, to the box or its reverse, per box."""
    reverse = boxes + boxes.new_tensor([0, 0, 0, 0, 0, 0, math.pi])
    corners = box_geometry.corners(predicted)
    distance = torch.minimum(
        torch.linalg.vector_norm(corners - box_geometry.corners(boxes), dim=2),
        torch.linalg.vector_norm(corners - box_geometry.corners(reverse), dim=2),
    )
    return smooth_l1(distance, beta=1.0).mean(1)


def overlap_loss(predicted: Float[Tensor, "n 7"], boxes: Float[Tensor, "n 7"]) -> Float[Tensor, " n"]:
    """Return the overlap and direction loss of TED (arXiv 2211.11962, `bbloss`) per box.

    `1.5 (1 - IoU_x IoU_y IoU_z (1 - |sin d|) + 1.25 (1 - |cos d|) + |dc|^2)` with d the difference of
    headings, dc that of centres, and IoU_* the overlap over the hull along one axis, as if the boxes were
    axis-aligned.
    """
    low = torch.maximum(predicted[:, :3] - predicted[:, 3:6] / 2, boxes[:, :3] - boxes[:, 3:6] / 2)
    high = torch.minimum(predicted[:, :3] + predicted[:, 3:6] / 2, boxes[:, :3] + boxes[:, 3:6] / 2)
    hull_low = torch.minimum(predicted[:, :3] - predicted[:, 3:6] / 2, boxes[:, :3] - boxes[:, 3:6] / 2)
    hull_high = torch.maximum(predicted[:, :3] + predicted[:, 3:6] / 2, boxes[:, :3] + boxes[:, 3:6] / 2)
    iou = ((high - low).clamp_min(0) / (hull_high - hull_low).clamp_min(1e-6)).prod(1)
    turn = predicted[:, 6] - boxes[:, 6]
    distance = (predicted[:, :3] - boxes[:, :3]).square().sum(1)
    return 1.5 * (1 - iou * (1 - turn.sin().abs()) + 1.25 * (1 - turn.cos().abs()) + distance)


def point_loss(
    points: Float[Tensor, "n g 3"],
    logits: Float[Tensor, "n g"],
    boxes: Float[Tensor, "b g2 7"],
    *,
    config: RoiLossConfig,
) -> Float[Tensor, ""]:
    """Return the focal loss of a furthest-point sample of the generated points.

    The sum is divided by the number of foreground points in the batch; without RoIs it is 0.
    """
    if not logits.numel():  # the count is a collective: a rank without points takes part in it
        return logits.sum() / mean_over_ranks(logits.sum(), at_least=1.0)
    xyz = points.detach().reshape(len(boxes), -1, 3)
    logits = logits.reshape(len(boxes), -1)
    index = furthest_point_sample(xyz, min(config.sample_points, xyz.shape[1])).long()
    sampled = xyz.gather(1, index[..., None].expand(-1, -1, 3))
    labels = torch.stack([point_labels(p, b, config=config) for p, b in zip(sampled, boxes, strict=True)])
    loss = sigmoid_focal(logits.gather(1, index), (labels > 0).to(logits.dtype))
    return loss[labels >= 0].sum() / mean_over_ranks((labels > 0).sum(), at_least=1.0)


def point_labels(
    points: Float[Tensor, "n 3"], boxes: Float[Tensor, "g 7"], *, config: RoiLossConfig
) -> Int[Tensor, " n"]:
    """Return 1 for foreground, 0 for background, -1 for ignored points of one frame."""
    boxes = boxes[(boxes[:, 3:6] > 0).all(1)]
    growth = boxes.new_tensor([0, 0, 0, *[config.ring_m] * 3, 0])
    enlarged = (points_in_boxes(points, boxes + growth, margin=_SIDE_MARGIN_M) >= 0).long()
    if config.ring_labels == "foreground":
        return enlarged
    inside = points_in_boxes(points, boxes, margin=_SIDE_MARGIN_M) >= 0
    return torch.where(inside, 1, -enlarged)


def chamfer_loss(
    points: Float[Tensor, "n g 3"],
    targets: RoiTargets,
    dense_points: Float[Tensor, "m columns"],
    boxes: Float[Tensor, "b g2 7"],
    *,
    config: RoiLossConfig,
) -> Float[Tensor, ""]:
    """Return the mean Chamfer distance of foreground RoIs' points to the dense points of their objects.

    A dense point belongs to the first box that contains it. RoIs of objects with fewer than
    `config.min_chamfer_points` are left out (the released code drops the loss of *all* stages when one stage
    has no such RoI; not copied).
    """
    rows, clouds = _object_clouds(targets, dense_points, boxes, at_least=max(config.min_chamfer_points, 1))
    total = points.sum() * 0.0
    for chunk in _chunks([len(cloud) for cloud in clouds], points.shape[1]):
        lengths = torch.tensor([len(cloud) for cloud in clouds[chunk]], device=points.device)
        padded = torch.nn.utils.rnn.pad_sequence(clouds[chunk], batch_first=True)
        total = total + chamfer_distance(points[rows[chunk]], padded, lengths).sum()
    count = torch.tensor(len(rows), device=points.device)
    return total / mean_over_ranks(count, at_least=1.0)


def chamfer_distance(
    points: Float[Tensor, "u g 3"], targets: Float[Tensor, "u t 3"], lengths: Int[Tensor, " u"]
) -> Float[Tensor, " u"]:
    """Return the Chamfer distance of squared lengths: the mean over targets plus the mean over points.

    Args:
        targets: Padded; row i has `lengths[i]` valid points, at least one.

    Example:
        >>> chamfer_distance(torch.zeros(1, 1, 3), torch.ones(1, 2, 3), torch.tensor([1])).item()
        6.0
    """
    padding = torch.arange(targets.shape[1], device=targets.device) >= lengths[:, None]
    with torch.no_grad():
        # the matrix-product form loses the digits that tell neighbours apart at 50 m
        distance = torch.cdist(points, targets, compute_mode="donot_use_mm_for_euclid_dist")
        nearest_point = distance.argmin(1)
        nearest_target = distance.masked_fill_(padding[:, None], math.inf).argmin(2)
    to_point = (targets - _rows(points, nearest_point)).square().sum(2).masked_fill(padding, 0.0)
    to_target = (points - _rows(targets, nearest_target)).square().sum(2)
    return to_point.sum(1) / lengths + to_target.mean(1)


def _score_loss(logits: Tensor, targets: RoiTargets) -> Tensor:
    loss = F.binary_cross_entropy_with_logits(logits[:, 0], targets.score_targets.flatten(), reduction="sum")
    return loss / mean_over_ranks(torch.tensor(len(logits), device=logits.device), at_least=1.0)


def _object_clouds(
    targets: RoiTargets, dense_points: Tensor, boxes: Tensor, *, at_least: int
) -> tuple[Tensor, list[Tensor]]:
    """Rows of the usable foreground RoIs and the dense points of their objects."""
    rows, clouds = [], []
    for b, (foreground, index) in enumerate(zip(targets.learns_box, targets.box_index, strict=True)):
        xyz = dense_points[dense_points[:, 0] == b, 1:4]
        owner = points_in_boxes(xyz, boxes[b], margin=_SIDE_MARGIN_M)
        by_object = {g: xyz[owner == g] for g in index[foreground].unique().tolist()}
        for row in foreground.nonzero()[:, 0].tolist():
            cloud = by_object[int(index[row])]
            if len(cloud) >= at_least:
                rows.append(b * foreground.shape[0] + row)
                clouds.append(cloud)
    return torch.tensor(rows, dtype=torch.int64, device=boxes.device), clouds


def _chunks(lengths: list[int], points: int) -> Iterator[slice]:
    """Consecutive RoIs whose padded distance matrices stay below the memory bound; at least one per chunk."""
    start, longest = 0, 0
    for i, length in enumerate(lengths):
        longest = max(longest, length)
        if i > start and (i + 1 - start) * longest * points > _CHUNK_PAIRS:
            yield slice(start, i)
            start, longest = i, length
    if start < len(lengths):
        yield slice(start, len(lengths))


def _rows(values: Tensor, index: Tensor) -> Tensor:
    return values.gather(1, index[..., None].expand(-1, -1, 3))


def _at_origin(rois: Tensor) -> Tensor:
    return torch.cat([torch.zeros_like(rois[:, :3]), rois[:, 3:6], torch.zeros_like(rois[:, 6:])], dim=1)
