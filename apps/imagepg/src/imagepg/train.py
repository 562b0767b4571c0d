"""`imagepg fit|validate|test`."""

from __future__ import annotations

from fusion3d_appkit.cli import plain_defaults
from fusion3d_appkit.training import TrainingApp
from fusion_models.imagepg import DetectorConfig

from imagepg.data import KittiData
from imagepg.page import chapters, compare
from imagepg.task import DetectionTask

APP = TrainingApp(
    name="imagepg",
    title="ImagePG",
    task=DetectionTask,
    data=KittiData,
    results={
        "strict": "Official overlaps, for own classes 0.5 or as configured",
        "loose": "Looser overlaps in BEV and 3D: 0.5 in place of 0.7, else 0.25",
    },
    compare=compare,
    chapters=chapters,
    trainer={"gradient_clip_val": 10.0, "max_epochs": 80},
    defaults=plain_defaults("model.detector", DetectorConfig()),
)
