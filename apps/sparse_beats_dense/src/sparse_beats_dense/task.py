"""The model as Lightning trains it: losses, schedule, evaluation by the official protocol."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from fusion3d_appkit.optim import CosineConfig, adam_cosine
from fusion_models.sparse_beats_dense.batch import DepthBatch
from fusion_models.sparse_beats_dense.losses import DepthLosses, Reduction, depth_completion_loss
from fusion_models.sparse_beats_dense.model import SparseBeatsDense, SparseBeatsDenseConfig
from fusion_models.weights import save_weights

from sparse_beats_dense.data import DepthData
from sparse_beats_dense.evaluation import DepthEvaluation, DepthScores, write_depth
from sparse_beats_dense.weights import WEIGHTS

PUBLISHED_OPTIMISER = CosineConfig(lr=4e-3, final_lr=1e-3, weight_decay=4e-8)
"""Source: the released `train_DDP.py`."""


class DepthTask(pl.LightningModule):
    """Train and evaluate one model.

    The loss is computed inside `training_step`, which the trainer calls through DistributedDataParallel, so
    that processes average their gradients; the released script goes past it and they do not.

    Args:
        network: The model.
        optim: The schedule; its length is the trainer's.
        reduction: How the depth loss is scaled, see `fusion_models.sparse_beats_dense.losses.Reduction`.
        weights: File to start from, whole: a checkpoint of `sparse_beats_dense fit`, safetensors, or the
            authors' checkpoint. None starts from random weights.
        write_depths: `test` writes every predicted map as a PNG (1 to 2 MB each at full size).
    """

    def __init__(
        self,
        network: SparseBeatsDenseConfig = SparseBeatsDenseConfig(),  # noqa: B008  (frozen)
        optim: CosineConfig = PUBLISHED_OPTIMISER,
        reduction: Reduction = "released",
        weights: str | None = None,
        write_depths: bool = True,
    ) -> None:
        super().__init__()
        self.config = network
        self.optim = optim
        self.reduction: Reduction = reduction
        self.write_depths = write_depths
        self.network = SparseBeatsDense(network)
        if weights is not None:
            WEIGHTS.load(self.network, Path(weights))
        self._evaluation = DepthEvaluation()
        self.scores: DepthScores | None = None

    def configure_optimizers(self) -> Any:
        """Return AdamW and its cosine, stepped after every optimiser step."""
        steps = int(self.trainer.estimated_stepping_batches)
        optimizer, schedule = adam_cosine(self.network.parameters(), steps=steps, config=self.optim)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def training_step(self, batch: DepthBatch, batch_idx: int) -> torch.Tensor:
        """Return the summed loss; log its parts."""
        losses = depth_completion_loss(self.network(batch), batch, reduction=self.reduction)
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
            save_weights(self.network, Path(self.trainer.default_root_dir) / "model.safetensors")

    def on_validation_epoch_start(self) -> None:
        """Forget the last evaluation."""
        self._evaluation = DepthEvaluation()

    def validation_step(self, batch: DepthBatch, batch_idx: int) -> torch.Tensor:
        """Return the predicted depth [b, 1, h, w] and compare it with the ground truth."""
        depth = self.network.predict(batch.image, batch.radar, batch.points, batch.counts)
        self._evaluation.update(batch, depth)
        return depth

    def on_validation_epoch_end(self) -> None:
        """Put the figures of all processes together; log those that the paper reports."""
        self._evaluation.gather()
        self.scores = self._evaluation.compute()
        for name, value in self.scores.headline().items():
            self.log(f"val/{name}", value, sync_dist=False)

    def on_test_epoch_start(self) -> None:
        """Forget the last evaluation and its files."""
        self.on_validation_epoch_start()
        if self.trainer.is_global_zero:
            shutil.rmtree(self.depth_dir, ignore_errors=True)
            self.depth_dir.mkdir(parents=True)
        self.trainer.strategy.barrier("depth folder")

    def test_step(self, batch: DepthBatch, batch_idx: int) -> None:
        """Compare with the ground truth, and write the depth of each frame."""
        depth = self.validation_step(batch, batch_idx)
        for frame_id, found in zip(batch.frame_ids, depth, strict=True) if self.write_depths else ():
            write_depth(self.depth_dir / f"{frame_id}.png", found[0].float().cpu().numpy())

    on_test_epoch_end = on_validation_epoch_end

    @property
    def data(self) -> DepthData:
        """The data module in use."""
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        assert isinstance(data, DepthData)
        return data

    @property
    def depth_dir(self) -> Path:
        """Where `test` writes depth maps."""
        return Path(self.trainer.default_root_dir) / "depth"

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the configuration in the checkpoint, as plain values: the file alone rebuilds the model."""
        checkpoint["network_config"] = dataclasses.asdict(self.config)
        checkpoint["depth_reading"] = dataclasses.asdict(self.data.reading)


def loss_parts(losses: DepthLosses) -> dict[str, torch.Tensor]:
    """Return the losses of the levels for the log; `1` is the finest, `2` half its size."""
    parts = {"depth": losses.depth, **({} if losses.mask is None else {"mask": losses.mask})}
    return {
        f"train/{name}_{2 ** (len(values) - 1 - level)}": value.detach()
        for name, values in parts.items()
        for level, value in enumerate(values)
    }
