"""The detector as it is trained: its losses, and its detections, officially evaluated."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import torch
from fusion3d_appkit.optim import OneCycleConfig
from fusion3d_appkit.task import Evaluation, StepLosses, TrainingTask
from fusion_models.detection.anchor_head import AnchorLosses
from fusion_models.detection.batch import Batch
from fusion_models.imagepg import Detector, DetectorConfig, DetectorLosses
from fusion_models.imagepg.roi_losses import RoiLosses

from imagepg import evaluation
from imagepg.data import KittiData
from imagepg.weights import WEIGHTS


class DetectionTask(TrainingTask[Batch, KittiData]):
    """Train and evaluate one detector.

    Args:
        detector: The model.
        optim: The schedule; its length is the trainer's.
        seed: Of dropout and of the random choices that are not a frame's own.
        weights: File to start from, whole: a checkpoint of `imagepg fit`, safetensors, or the authors'
            checkpoint. None starts from random weights (the image branch from `image.swin.pretrained`).
        min_overlaps: By class: the IoU in image, BEV and 3D that a hit must exceed to count in the strict
            table; the loose one lowers BEV and 3D to 0.5 or 0.25. Default: KITTI's for its classes, 0.5 for
            any other.
    """

    files = WEIGHTS
    predictions = "detections"
    config: DetectorConfig

    def __init__(
        self,
        detector: DetectorConfig = DetectorConfig(),  # noqa: B008  (frozen)
        optim: OneCycleConfig = OneCycleConfig(),  # noqa: B008
        seed: int = 0,
        weights: str | None = None,
        min_overlaps: dict[str, float] | None = None,
    ) -> None:
        super().__init__(detector, optim=optim, seed=seed)
        self.tables = evaluation.overlap_tables(detector.class_names, min_overlaps or {})
        self.detector = WEIGHTS.restore(detector, Path(weights)) if weights else Detector(detector)

    def losses(self, batch: Batch) -> StepLosses:
        """Return the losses of anchors, occupancy and refinement."""
        losses = self.detector.loss(self.detector(batch), batch)
        return StepLosses(losses.total, loss_parts(losses))

    def write_predictions(self, batch: Batch) -> None:
        """Write the detections of each frame as an official result file."""
        source = self.data.source(self.data.val_split)
        for frame_id, found in zip(batch.frame_ids, self.detector.predict(batch), strict=True):
            evaluation.write_frame(
                self.predictions_dir, frame_id, found, source=source, classes=self.config.class_names
            )

    def evaluate(self) -> Evaluation:
        """Evaluate the written files at both tables of overlaps; log AP_R40 of moderate objects.

        What was not evaluated, because nothing was detected, is not logged: it is no 0.
        """
        source = self.data.source(self.data.val_split)
        frames = None
        if not self.sees_all:
            frames = [name for name in source.frame_ids if (self.predictions_dir / f"{name}.txt").exists()]
        results = evaluation.evaluate(source, self.predictions_dir, tables=self.tables, frames=frames)
        figures = {
            f"val_{name}/{label}_{metric}_moderate": curve.ap()
            for name, result in results.items()
            for label in self.config.class_names
            for metric in ("bev", "3d")
            if (curve := result.curves[label, metric, "moderate"]).evaluated
        }
        return Evaluation(results, figures)


def loss_parts(losses: DetectorLosses) -> dict[str, torch.Tensor]:
    """Return the named parts of a loss for the log; those of the refinement stages are summed."""
    parts = {f"anchor_{item.name}": getattr(losses.anchors, item.name) for item in fields(AnchorLosses)}
    if losses.occupancy is not None:
        parts["occupancy"] = losses.occupancy
    for name in [item.name for item in fields(RoiLosses) if item.name != "total" and losses.stages]:
        parts[f"roi_{name}"] = torch.stack([getattr(stage, name) for stage in losses.stages]).sum()
    return parts
