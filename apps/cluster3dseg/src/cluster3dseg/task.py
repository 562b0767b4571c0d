"""The networks as they are trained: losses, labels of points, scores by the official protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from datasets3d.segmentation import VIEWS, LabelledScan
from datasets3d.semantickitti import SemanticKittiDataset, label_path, write_labels
from fusion3d_appkit.optim import SgdCosineConfig
from fusion3d_appkit.task import Evaluation, StepLosses, TrainingTask
from fusion_models.segmentation import (
    LossWeights,
    SegmentationBatch,
    SegmentationNet,
    SegmentationNetConfig,
    WithinClassClusterLoss,
    segmentation_loss,
)
from fusion_models.segmentation.cluster_loss import ClusterConfig
from jaxtyping import UInt8

from cluster3dseg import evaluation
from cluster3dseg.data import SegmentationData
from cluster3dseg.inference import classes_of_points
from cluster3dseg.weights import WEIGHTS

PUBLISHED_OPTIMISER = SgdCosineConfig(lr=0.0024)
"""Of the fine-tuning with the clustering loss. Source: the released configuration."""


LOSSES = ("cross_entropy", "lovasz", "point_memory", "in_batch", "point_centre")
"""Logged by name, where they are."""


class SegmentationTask(TrainingTask[SegmentationBatch, SegmentationData]):
    """Train and evaluate one network.

    Args:
        network: The network.
        optim: The schedule; its length is the trainer's.
        loss: What the losses weigh.
        cluster: The clustering loss, which needs a network with a projection; None trains without.
        votes: Views of a scan whose probabilities are averaged in evaluation, see
            `datasets3d.segmentation.VIEWS`.
        seed: Of dropout, of the loss's choice of anchors, and of its first centres and memory.
        weights: File to start from: a checkpoint of `cluster3dseg fit`, safetensors, or one of the authors or
            of SPVNAS. None starts from random weights.
    """

    files = WEIGHTS
    predictions = "predictions"

    def __init__(
        self,
        network: SegmentationNetConfig = SegmentationNetConfig(),  # noqa: B008  (frozen)
        optim: SgdCosineConfig = PUBLISHED_OPTIMISER,
        loss: LossWeights = LossWeights(),  # noqa: B008
        cluster: ClusterConfig | None = ClusterConfig(),  # noqa: B008
        votes: Literal[1, 4, 12] = 1,
        seed: int = 0,
        weights: str | None = None,
    ) -> None:
        super().__init__(network, optim=optim, seed=seed)
        self.network = (
            SegmentationNet(network) if weights is None else WEIGHTS.restore(network, Path(weights))
        )
        self.loss = loss
        self.cluster = None if cluster is None else _cluster_loss(network, cluster, seed)
        self.views = VIEWS[votes]

    def setup(self, stage: str) -> None:
        """Make the evaluator of the classes that the labels have."""
        self.evaluators = {"points": evaluation.make_evaluator(self.data.reading.table)}

    def losses(self, batch: SegmentationBatch) -> StepLosses:
        """Return cross-entropy, Lovasz and the parts of the clustering loss."""
        outputs = self.network(batch)
        found = segmentation_loss(
            outputs.logits,
            batch.classes,
            weights=self.loss,
            embedding=outputs.embedding,
            cluster=self.cluster,
        )
        parts = {name: getattr(found, name) for name in LOSSES}
        return StepLosses(found.total, {name: loss for name, loss in parts.items() if loss is not None})

    def write_predictions(self, batch: SegmentationBatch) -> None:
        """Give every point its class; count it, and in `test` write it as the benchmark wants it."""
        split = self.data.test_split if self.trainer.testing else self.data.val_split
        scans = self.data.source(split)
        if len(self.views) == 1:
            found = [scan.classes.to(torch.uint8).cpu().numpy() for scan in self.network.predict(batch)]
        else:
            found = [self._voted(scans[scans.frame_ids.index(frame_id)]) for frame_id in batch.frame_ids]
        for frame_id, classes in zip(batch.frame_ids, found, strict=True):
            self._keep(scans, frame_id, classes)

    def _voted(self, scan: LabelledScan) -> UInt8[np.ndarray, " n"]:
        return classes_of_points(self.network, scan, self.data.reading.sampling, views=self.views)

    def _keep(self, scans: SemanticKittiDataset, frame_id: str, classes: UInt8[np.ndarray, " n"]) -> None:
        """Count and write the classes of a scan's own points, which come before those of other sweeps."""
        points, truth = scans.points(frame_id), scans.raw_labels(frame_id)
        raw = scans.table.raw_ids(classes[: len(points)])
        if truth is not None:
            self.evaluators["points"].update(frame_id, truth, raw, points)
        if self.trainer.testing:
            write_labels(label_path(self.predictions_dir, frame_id, kind="predictions"), raw)

    def evaluate(self) -> Evaluation:
        """Return the scores of every class."""
        evaluator = self.evaluators["points"]
        if not len(evaluator):
            return Evaluation({}, {})
        result = evaluator.compute()
        figures = {f"val/{name}": value for name, value in evaluation.headline(result).items()}
        return Evaluation({"points": result}, figures)


def _cluster_loss(network: SegmentationNetConfig, config: ClusterConfig, seed: int) -> WithinClassClusterLoss:
    if network.projection is None:
        raise ValueError(
            "model.cluster: the clustering loss needs model.network.projection; give one, or train without "
            "the loss (model.cluster: null)"
        )
    return WithinClassClusterLoss(
        config, num_classes=network.num_classes, channels=network.projection[-1], seed=seed
    )
