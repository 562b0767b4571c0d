"""`imagepg fit|validate|test`."""

from __future__ import annotations

from pathlib import Path

from fusion3d_appkit.cli import plain_defaults
from fusion3d_appkit.training import TrainingApp
from fusion_models.imagepg import DetectorConfig

from imagepg.data import KittiData
from imagepg.task import DetectionTask
from imagepg.weights import WEIGHTS


def _report(run_dir: Path, data: KittiData, task: DetectionTask) -> None:
    from imagepg.page import write_run_report

    write_run_report(run_dir, data, task, title="ImagePG evaluation")


APP = TrainingApp(
    name="imagepg",
    task=DetectionTask,
    data=KittiData,
    weights=WEIGHTS,
    report=_report,
    trainer={"gradient_clip_val": 10.0, "max_epochs": 80},
    defaults=plain_defaults("model.detector", DetectorConfig()),
)
build, run = APP.build, APP.run
