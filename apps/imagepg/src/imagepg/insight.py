"""Look inside the detector at one frame: what each of its parts found, as plain arrays.

One forward pass in evaluation mode gives them all. `pictures.py` draws them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from fusion_models.detection.batch import Batch
from fusion_models.detection.cloud_copies import CloudCopy, vote
from fusion_models.imagepg.deform_fusion import project_to_pixels
from fusion_models.imagepg.model import Detector, DetectorOutputs
from fusion_models.imagepg.occupancy import occupancy_target, occupied_cells
from fusion_models.imagepg.point_generator import ImageGuidance
from geom3d import overlap
from torch import nn

SAME_OBJECT_IOU = 0.1
"""Boxes that overlap more, seen from above, belong to one object."""


@dataclass(frozen=True, slots=True)
class OccupancyInsight:
    """The map of the occupancy network; rows along y, columns along x, both growing, over the bounds."""

    probability: np.ndarray
    """float32 [y, x]: how probably a cell holds the surface of an object."""
    threshold: float
    """Cells above it guide the detector."""
    target: np.ndarray | None
    """float32 [y, x]: what the probability is trained towards; None without dense points."""

    @property
    def guides(self) -> np.ndarray:
        """Cells that guide, as bool [y, x]."""
        return self.probability > self.threshold


@dataclass(frozen=True, slots=True)
class AttentionInsight:
    """Where the last stage reads the image for the k grid points that are in view."""

    rois: np.ndarray
    """int64 [k]: the RoI of each, a column of `FrameInsight.boxes`."""
    pixels: np.ndarray
    """int64 [k, 2]: u v of the pixel that the grid point projects to, in the image as the model sees it."""
    locations: np.ndarray
    """float32 [k, heads, samples, 2]: u v in pixels of that image, which may lie outside it."""
    weights: np.ndarray
    """float32 [k, heads, samples]: how much each location counts; sums to 1 over the samples of a head."""
    image_size: tuple[int, int]
    """Height and width of the image as the model sees it, before padding."""


@dataclass(frozen=True, slots=True)
class FrameInsight:
    """What the detector found in one frame. Coordinates are metres in the LiDAR frame of the scene.

    A RoI is a region that the detector looked at, r of them. Padding is left out, and so are RoIs whose box
    is not finite.
    """

    frame_id: str
    bounds: tuple[float, float, float, float, float, float]
    """x0 y0 z0 x1 y1 z1: the range of the model."""
    class_names: tuple[str, ...]
    points: np.ndarray
    """float32 [n, 3]: the scan."""
    truth: np.ndarray
    """float32 [m, 7]: labelled boxes of the model's classes; m is 0 without labels."""
    truth_labels: np.ndarray
    """int64 [m]: 1..K."""
    dense: np.ndarray | None
    """float32 [d, 3]: complete surfaces of the labelled objects, if known."""
    occupancy: OccupancyInsight | None
    """None for a model without occupancy network."""
    stage_names: tuple[str, ...]
    """t of them: the proposals, then what was done to the cloud of each refinement stage."""
    boxes: np.ndarray
    """float32 [t, r, 7]: box of every RoI after each stage."""
    labels: np.ndarray
    """int64 [r]: class of every RoI, 1..K."""
    final_boxes: np.ndarray
    """float32 [r, 7]: mean over the refinement stages, what becomes a detection."""
    scores: np.ndarray
    """float32 [r] in [0, 1]: of the final box."""
    generated: np.ndarray | None
    """float32 [r, g, 3]: points that the last stage generated; None for a model that generates none."""
    point_scores: np.ndarray | None
    """float32 [r, g] in [0, 1]: how surely each lies on the object."""
    attention: AttentionInsight | None
    """None for a model without image."""

    def shown(self, min_score: float) -> np.ndarray:
        """Return the RoIs int64 [k] with at least this score, best first, one for every object."""
        rows: list[int] = []
        overlaps = overlap.iou_bev(self.final_boxes, self.final_boxes) > SAME_OBJECT_IOU
        for row in np.argsort(-self.scores, kind="stable").tolist():
            if self.scores[row] >= min_score and not overlaps[row, rows].any():
                rows.append(row)
        return np.array(rows, dtype=np.int64)

    def refinement(self) -> np.ndarray:
        """Return float64 [t, k]: 3D IoU of each stage's box with its label, for the k labels that have a RoI.

        The RoI of a label is the one with the best score among those of its class whose final box overlaps
        it, so that no stage is favoured.
        """
        same_class = self.labels[:, None] == self.truth_labels
        candidates = (overlap.iou_bev(self.final_boxes, self.truth) > SAME_OBJECT_IOU) & same_class
        columns = [
            overlap.iou_3d(self.boxes[:, row], self.truth[label : label + 1])[:, 0]
            for label in np.flatnonzero(candidates.any(axis=0))
            for row in [np.where(candidates[:, label], self.scores, -1.0).argmax()]
        ]
        return np.stack(columns, axis=1) if columns else np.zeros((len(self.boxes), 0))


@torch.no_grad()
def look_inside(detector: Detector, batch: Batch) -> FrameInsight:
    """Return what the detector finds on its way through the only frame of a batch.

    The detector computes on the device where its weights are; its mode is restored afterwards.

    Raises:
        ValueError: The batch has more than one frame, or lacks what the detector needs.
    """
    if len(batch) != 1:
        raise ValueError(f"look_inside: expected a batch of one frame, got {len(batch)}; collate one frame")
    batch = batch.to(next(detector.parameters()).device)
    head = detector.roi
    guidance = None if head is None else head.image
    with _evaluating(detector), _watching(guidance) as calls:
        outputs = detector(batch)
        boxes, final_boxes, logits = _stages(outputs)
        kept = (outputs.proposals.labels[0] > 0) & boxes.isfinite().all(2).all(0)
        attention = None if guidance is None else _attention(guidance, calls, kept, batch)
    generated = point_scores = None
    if outputs.stages and outputs.stages[-1].predictions.points is not None:
        last = outputs.stages[-1]
        generated = _array(last.copy.restore_points(last.predictions.points)[kept])
        point_scores = _array(last.predictions.point_logits.sigmoid()[kept])  # type: ignore[union-attr]
    truth, truth_labels = np.zeros((0, 7), np.float32), np.zeros(0, np.int64)
    if batch.boxes is not None and batch.labels is not None:
        truth, truth_labels = _array(batch.boxes[0]), _array(batch.labels[0])
    return FrameInsight(
        frame_id=batch.frame_ids[0],
        bounds=detector.config.voxels.bounds,
        class_names=detector.config.class_names,
        points=_array(batch.points[:, 1:4]),
        truth=truth,
        truth_labels=truth_labels,
        dense=None if batch.dense_points is None else _array(batch.dense_points[:, 1:4]),
        occupancy=_occupancy(detector, outputs, batch),
        stage_names=("proposals", *(describe(stage.copy) for stage in outputs.stages)),
        boxes=_array(boxes[:, kept]),
        labels=_array(outputs.proposals.labels[0, kept]),
        final_boxes=_array(final_boxes[kept]),
        scores=_array(logits[kept].sigmoid()),
        generated=generated,
        point_scores=point_scores,
        attention=attention,
    )


def describe(copy: CloudCopy) -> str:
    """Return what a copy does to the cloud, in words.

    Example:
        >>> describe(CloudCopy(flip_y=True, scale=0.98)), describe(CloudCopy())
        ('mirrored, scaled by 0.98', 'as it is')
    """
    parts = []
    if copy.flip_y:
        parts.append("mirrored")
    if copy.flip_x:
        parts.append("front to back")
    if copy.rotation_rad:
        parts.append(f"turned by {np.degrees(copy.rotation_rad):.1f} degrees")
    if copy.scale != 1:
        parts.append(f"scaled by {copy.scale:g}")
    return ", ".join(parts) or "as it is"


def _stages(outputs: DetectorOutputs) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return boxes [t, r, 7] of proposals and stages, and final boxes [r, 7] and logits [r], as detected."""
    proposals = outputs.proposals
    if not outputs.stages:
        return proposals.boxes, proposals.boxes[0], proposals.scores[0]
    refined = torch.stack([stage.boxes for stage in outputs.stages])
    logits = torch.stack([stage.predictions.logits.view(proposals.scores.shape) for stage in outputs.stages])
    final_boxes, final_logits = vote(refined, logits)
    return torch.cat([proposals.boxes, refined[:, 0]]), final_boxes[0], final_logits[0]


def _occupancy(detector: Detector, outputs: DetectorOutputs, batch: Batch) -> OccupancyInsight | None:
    config = detector.config.occupancy
    if outputs.occupancy is None or config is None:
        return None
    probability = outputs.occupancy.probability[0, 0]
    target = None
    if batch.dense_points is not None:
        occupied = occupied_cells(
            batch.dense_points,
            bounds=detector.config.voxels.bounds,
            map_size_yx=(probability.shape[0], probability.shape[1]),
            batch_size=1,
        )
        target = _array(occupancy_target(occupied, splat=config.splat)[0, 0])
    return OccupancyInsight(_array(probability), config.threshold, target)


def _attention(
    guidance: ImageGuidance, calls: dict[nn.Module, tuple[Any, ...]], kept: torch.Tensor, batch: Batch
) -> AttentionInsight:
    """Return the places and weights that the last call of the guidance used, of the RoIs that are kept."""
    _, points, view = calls[guidance]
    queries, pixels, *_ = calls[guidance.fusion]
    locations, weights = guidance.fusion.sampling(guidance.fusion.key(queries), pixels)
    in_view = project_to_pixels(points, view)[1][0].nonzero()[:, 0]
    owner = torch.div(in_view, points.shape[1] // len(kept), rounding_mode="floor")
    # a single point is passed on without attention
    rows = (kept[owner] & (len(queries) > 1)).nonzero()[:, 0]
    assert batch.image_sizes is not None, "a model with image guidance has seen images"
    height, width = batch.image_sizes[0].tolist()
    return AttentionInsight(
        rois=_array((kept.cumsum(0) - 1)[owner[rows]]),
        pixels=_array(pixels[rows]),
        locations=_array(locations[rows]),
        weights=_array(weights[rows]),
        image_size=(height, width),
    )


@contextmanager
def _evaluating(detector: Detector) -> Iterator[None]:
    """Put the detector into evaluation mode for a while."""
    training = detector.training
    detector.eval()
    try:
        yield
    finally:
        detector.train(training)


@contextmanager
def _watching(guidance: ImageGuidance | None) -> Iterator[dict[nn.Module, tuple[Any, ...]]]:
    """Give a dictionary that will hold the inputs of the last call of the guidance and of its attention."""
    calls: dict[nn.Module, tuple[Any, ...]] = {}
    watched = () if guidance is None else (guidance, guidance.fusion)
    hooks = [
        module.register_forward_pre_hook(lambda module, inputs: calls.update({module: inputs}))
        for module in watched
    ]
    try:
        yield calls
    finally:
        for hook in hooks:
            hook.remove()


def _array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.cpu().numpy()
