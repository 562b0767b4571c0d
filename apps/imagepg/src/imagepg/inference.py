"""The application of a detector, as `imagepg.weights.WEIGHTS.load_model` returns it, to single frames."""

from __future__ import annotations

import torch
from datasets3d.frame import Frame
from fusion3d_appkit.weights import LoadedModel
from fusion_models.detection.batch import Batch, Detections, ImageInput, collate
from fusion_models.imagepg import Detector


def batch_of(loaded: LoadedModel[Detector, ImageInput], frame: Frame) -> Batch:
    """Return the frame as the detector takes it.

    Points outside its range stay: they may lie inside in a transformed copy of the cloud.
    """
    config = loaded.model.config
    return collate([frame], config.class_names, image=None if config.image is None else loaded.inputs)


@torch.no_grad()
def detect(loaded: LoadedModel[Detector, ImageInput], frame: Frame) -> Detections:
    """Return what the detector finds in one frame, best first, on the CPU."""
    return loaded.model.predict(batch_of(loaded, frame))[0]
