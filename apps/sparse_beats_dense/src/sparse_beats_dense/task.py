"""The model as it is trained: its losses, and its depth maps, evaluated by the official protocol."""

from __future__ import annotations

from pathlib import Path

import torch
from fusion3d_appkit.optim import CosineConfig
from fusion3d_appkit.task import Evaluation, StepLosses, TrainingTask
from fusion_models.sparse_beats_dense.batch import DepthBatch
from fusion_models.sparse_beats_dense.losses import DepthLosses, Reduction, depth_completion_loss
from fusion_models.sparse_beats_dense.model import SparseBeatsDense, SparseBeatsDenseConfig

from sparse_beats_dense import evaluation
from sparse_beats_dense.data import DepthData
from sparse_beats_dense.weights import WEIGHTS

PUBLISHED_OPTIMISER = CosineConfig(lr=4e-3, final_lr=1e-3, weight_decay=4e-8)
"""Source: the released `train_DDP.py`."""


class DepthTask(TrainingTask[DepthBatch, DepthData]):
    """Train and evaluate one model.

    Processes average their gradients; those of the released script do not.

    Args:
        network: The model.
        optim: The schedule; its length is the trainer's.
        reduction: How the depth loss is scaled, see `fusion_models.sparse_beats_dense.losses.Reduction`.
        weights: File to start from, whole: a checkpoint of `sparse_beats_dense fit`, safetensors, or the
            authors' checkpoint. None starts from random weights.
        write_depths: `test` writes every predicted map as a PNG (1 to 2 MB each at full size).
    """

    files = WEIGHTS
    predictions = "depth"

    def __init__(
        self,
        network: SparseBeatsDenseConfig = SparseBeatsDenseConfig(),  # noqa: B008  (frozen)
        optim: CosineConfig = PUBLISHED_OPTIMISER,
        reduction: Reduction = "released",
        weights: str | None = None,
        write_depths: bool = True,
    ) -> None:
        super().__init__(network, optim=optim)
        self.network = (
            SparseBeatsDense(network) if weights is None else WEIGHTS.restore(network, Path(weights))
        )
        self.reduction: Reduction = reduction
        self.write_depths = write_depths
        self.evaluators = evaluation.make_evaluators()

    def losses(self, batch: DepthBatch) -> StepLosses:
        """Return the losses of depth and, with mask decoders, of the masks."""
        losses = depth_completion_loss(self.network(batch), batch, reduction=self.reduction)
        return StepLosses(losses.total, loss_parts(losses))

    def write_predictions(self, batch: DepthBatch) -> None:
        """Compare the predicted depth with the ground truth; `test` also writes it, frame by frame."""
        depth = self.network.predict(batch.image, batch.radar, batch.points, batch.counts)
        evaluation.update(self.evaluators, batch, depth)
        for frame_id, found in zip(batch.frame_ids, depth, strict=True) if self._writes else ():
            evaluation.write_depth(self.predictions_dir / f"{frame_id}.png", found[0].float().cpu().numpy())

    def evaluate(self) -> Evaluation:
        """Return the errors, and the figures of them that the paper reports."""
        results = evaluation.compute(self.evaluators)
        return Evaluation(results, {f"val/{name}": x for name, x in evaluation.headline(results).items()})

    @property
    def _writes(self) -> bool:
        return self.write_depths and self.trainer.testing


def loss_parts(losses: DepthLosses) -> dict[str, torch.Tensor]:
    """Return the losses of the levels for the log; `1` is the finest, `2` half its size."""
    parts = {"depth": losses.depth, **({} if losses.mask is None else {"mask": losses.mask})}
    return {
        f"{name}_{2 ** (len(values) - 1 - level)}": value
        for name, values in parts.items()
        for level, value in enumerate(values)
    }
