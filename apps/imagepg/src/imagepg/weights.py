"""The files of weights: checkpoints of `imagepg fit`, safetensors, or the checkpoint the authors released."""

from __future__ import annotations

from dataclasses import replace

from fusion3d_appkit.weights import WeightFiles
from fusion_models.imagepg import RELEASED_ENTRY, DetectorConfig, load_released

WEIGHTS = WeightFiles(app="imagepg", prefix="detector.", released=RELEASED_ENTRY, load_released=load_released)


def without_pretrained(config: DetectorConfig) -> DetectorConfig:
    """Return the configuration of the same model whose image branch does not look for ImageNet weights."""
    if config.image is None:
        return config
    return replace(config, image=replace(config.image, swin=replace(config.image.swin, pretrained=None)))
