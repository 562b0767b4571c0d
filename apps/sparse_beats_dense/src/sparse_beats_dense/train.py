"""`sparse_beats_dense fit|validate|test`."""

from __future__ import annotations

from pathlib import Path

from datasets3d.depth import DepthAugmentation
from fusion3d_appkit.cli import plain_defaults
from fusion3d_appkit.training import TrainingApp
from fusion_models.sparse_beats_dense.model import SparseBeatsDenseConfig

from sparse_beats_dense.data import DepthData
from sparse_beats_dense.task import DepthTask
from sparse_beats_dense.weights import WEIGHTS


def _report(run_dir: Path, data: DepthData, task: DepthTask) -> None:
    from sparse_beats_dense.page import write_run_report

    write_run_report(run_dir, data, task, split=data.test_split, title="Sparse Beats Dense evaluation")


APP = TrainingApp(
    name="sparse_beats_dense",
    task=DepthTask,
    data=DepthData,
    weights=WEIGHTS,
    report=_report,
    trainer={"max_epochs": 30},
    defaults=plain_defaults("model.network", SparseBeatsDenseConfig())
    | plain_defaults("data.augmentation", DepthAugmentation()),
)
build, run = APP.build, APP.run
