"""The files of weights: checkpoints of `imagepg fit`, safetensors, or the checkpoint the authors released."""

from __future__ import annotations

from dataclasses import replace

from fusion3d_appkit.weights import Kept, WeightFiles
from fusion_models.detection.batch import ImageInput
from fusion_models.imagepg import RELEASED_ENTRY, Detector, DetectorConfig, load_released


def without_pretrained(config: DetectorConfig) -> DetectorConfig:
    """Return the configuration of the same model whose image branch does not look for ImageNet weights."""
    if config.image is None:
        return config
    return replace(config, image=replace(config.image, swin=replace(config.image.swin, pretrained=None)))


WEIGHTS = WeightFiles(
    app="imagepg",
    model=Kept(DetectorConfig, option="model.detector", entry="detector_config"),
    inputs=Kept(ImageInput, option="data.image", entry="image_input"),
    build=lambda config: Detector(without_pretrained(config)),
    released=RELEASED_ENTRY,
    load_released=load_released,
    classes=lambda config: config.class_names,
)
