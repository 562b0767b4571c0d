"""The detector as Lightning trains it: losses, schedule, and detections written in the official format."""

from __future__ import annotations

import dataclasses
import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from evaluators.kitti import KittiResult
from fusion3d_appkit.optim import OneCycleConfig, adam_onecycle
from fusion_models.detection.anchor_head import AnchorLosses
from fusion_models.detection.batch import Batch
from fusion_models.imagepg import Detector, DetectorConfig, DetectorLosses
from fusion_models.imagepg.roi_losses import RoiLosses
from fusion_models.weights import save_weights

from imagepg import evaluation
from imagepg.data import KittiData
from imagepg.weights import WEIGHTS, without_pretrained


class DetectionTask(pl.LightningModule):
    """Train and evaluate one detector.

    Args:
        detector: The model.
        optim: The schedule; its length is the trainer's.
        seed: Of dropout and of the random choices that are not a frame's own.
        weights: File to start from, whole: a checkpoint of `imagepg fit`, safetensors, or the authors'
            checkpoint. None starts from random weights (the image branch from `image.swin.pretrained`).
    """

    def __init__(
        self,
        detector: DetectorConfig = DetectorConfig(),  # noqa: B008  (frozen)
        optim: OneCycleConfig = OneCycleConfig(),  # noqa: B008
        seed: int = 0,
        weights: str | None = None,
    ) -> None:
        super().__init__()
        self.config = detector
        self.optim = optim
        self.seed = seed
        self.detector = Detector(detector if weights is None else without_pretrained(detector))
        if weights is not None:
            WEIGHTS.load(self.detector, Path(weights))
        self.results: dict[str, KittiResult] = {}

    def configure_optimizers(self) -> Any:
        """Return Adam and its one-cycle schedule, stepped after every optimiser step."""
        steps = int(self.trainer.estimated_stepping_batches)
        optimizer, schedule = adam_onecycle(self.detector.parameters(), steps=steps, config=self.optim)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Derive dropout from epoch and batch, so that a resumed run repeats it."""
        torch.manual_seed(hash((self.seed, self.current_epoch, batch_idx, self.global_rank)) % 2**31)

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        """Return the summed loss; log its parts."""
        losses = self.detector.loss(self.detector(batch), batch)
        rate = self.trainer.optimizers[0].param_groups[0]["lr"]
        self.log_dict({**loss_parts(losses), "train/lr": rate}, batch_size=len(batch))
        self.log("train/loss", losses.total, batch_size=len(batch), prog_bar=True)
        return losses.total

    def on_train_epoch_end(self) -> None:
        """Log the most memory a step has taken so far, on a GPU."""
        if self.device.type == "cuda":
            self.log("train/peak_memory_gb", torch.cuda.max_memory_allocated(self.device) / 2**30)

    def on_fit_end(self) -> None:
        """Write the weights alone, without the trainer's state, as `model.safetensors`."""
        if self.trainer.is_global_zero:
            save_weights(self.detector, Path(self.trainer.default_root_dir) / "model.safetensors")

    def on_validation_epoch_start(self) -> None:
        """Forget the result files of the last evaluation."""
        if self.trainer.is_global_zero:
            shutil.rmtree(self.detections_dir, ignore_errors=True)
            self.detections_dir.mkdir(parents=True)
        self.trainer.strategy.barrier("detections folder")

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Write the detections of each frame."""
        source = self.data.source(self.data.val_split)
        for frame_id, found in zip(batch.frame_ids, self.detector.predict(batch), strict=True):
            evaluation.write_frame(
                self.detections_dir, frame_id, found, source=source, classes=self.config.class_names
            )

    def on_validation_epoch_end(self) -> None:
        """Evaluate the written files on the first process and log AP_R40."""
        self.trainer.strategy.barrier("detections written")
        if not self.trainer.is_global_zero or self.trainer.sanity_checking:
            return
        self.results = evaluation.evaluate(self.data.source(self.data.val_split), self.detections_dir)
        for name, result in self.results.items():
            for label in self.config.class_names:
                for metric in ("bev", "3d"):
                    value = result.ap(label, metric, "moderate", recall=40) or 0.0
                    self.log(f"val_{name}/{label}_{metric}_moderate", value, rank_zero_only=True)

    on_test_epoch_start = on_validation_epoch_start
    test_step = validation_step
    on_test_epoch_end = on_validation_epoch_end

    @property
    def data(self) -> KittiData:
        """The data module in use."""
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        assert isinstance(data, KittiData)
        return data

    @property
    def detections_dir(self) -> Path:
        """Where the official result files of the last evaluation are."""
        return Path(self.trainer.default_root_dir) / "detections"

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the configuration in the checkpoint, as plain values: the file alone rebuilds the model."""
        checkpoint["detector_config"] = dataclasses.asdict(self.config)
        checkpoint["image_input"] = dataclasses.asdict(self.data.image)


def loss_parts(losses: DetectorLosses) -> dict[str, torch.Tensor]:
    """Return the named parts of a loss for the log; those of the refinement stages are summed."""
    parts = {f"train/anchor_{item.name}": getattr(losses.anchors, item.name) for item in fields(AnchorLosses)}
    if losses.occupancy is not None:
        parts["train/occupancy"] = losses.occupancy
    for name in [item.name for item in fields(RoiLosses) if item.name != "total" and losses.stages]:
        parts[f"train/roi_{name}"] = torch.stack([getattr(stage, name) for stage in losses.stages]).sum()
    return {name: value.detach() for name, value in parts.items()}
