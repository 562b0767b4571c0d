"""`cluster3dseg fit|validate|test`."""

from __future__ import annotations

import dataclasses

from fusion3d_appkit.cli import plain_defaults
from fusion3d_appkit.training import TrainingApp
from fusion_models.segmentation import SegmentationNetConfig
from fusion_models.segmentation.cluster_loss import ClusterConfig

from cluster3dseg.data import SegmentationData
from cluster3dseg.page import chapters, compare
from cluster3dseg.task import SegmentationTask

APP = TrainingApp(
    name="cluster3dseg",
    title="Cluster3DSeg",
    task=SegmentationTask,
    data=SegmentationData,
    results={"points": "Classes of points"},
    compare=compare,
    chapters=chapters,
    trainer={"max_epochs": 15},
    defaults=plain_defaults("model.network", SegmentationNetConfig())
    | {"model.cluster": dataclasses.asdict(ClusterConfig())},
)
