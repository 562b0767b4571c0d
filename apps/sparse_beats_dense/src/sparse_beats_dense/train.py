"""`sparse_beats_dense fit|validate|test`."""

from __future__ import annotations

from datasets3d.depth import DepthAugmentation
from fusion3d_appkit.cli import plain_defaults
from fusion3d_appkit.training import TrainingApp
from fusion_models.sparse_beats_dense.model import SparseBeatsDenseConfig

from sparse_beats_dense.data import DepthData
from sparse_beats_dense.page import chapters, compare
from sparse_beats_dense.task import DepthTask

APP = TrainingApp(
    name="sparse_beats_dense",
    title="Sparse Beats Dense",
    task=DepthTask,
    data=DepthData,
    results={
        "lidar": "On the pixels of the single LiDAR sweep",
        "true_depth": "Against the depth of every pixel, which a synthetic world knows",
    },
    compare=compare,
    chapters=chapters,
    trainer={"max_epochs": 30},
    defaults=plain_defaults("model.network", SparseBeatsDenseConfig())
    | plain_defaults("data.augmentation", DepthAugmentation()),
)
