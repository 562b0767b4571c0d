"""A trained detector from a checkpoint, and its application to single frames."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from datasets3d.frame import Frame
from fusion3d_appkit.weights import Part
from fusion_models.detection.batch import Batch, Detections, ImageInput, collate
from fusion_models.imagepg import Detector, DetectorConfig

from imagepg.weights import WEIGHTS, without_pretrained

PARTS = {
    "detector": Part(DetectorConfig, entry="detector_config", option="model.detector"),
    "image": Part(ImageInput, entry="image_input", option="data.image"),
}


@dataclass(frozen=True, slots=True)
class LoadedDetector:
    """A detector in eval mode and what its checkpoint says about its labels."""

    detector: Detector
    image: ImageInput

    @property
    def bounds(self) -> tuple[float, float, float, float, float, float]:
        """Detection range x0 y0 z0 x1 y1 z1 in metres."""
        return self.detector.config.voxels.bounds

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; label 1 is the first."""
        return self.detector.config.class_names


def load_detector(path: Path, *, config: Path | None = None) -> LoadedDetector:
    """Rebuild the model of a checkpoint and load its weights.

    Args:
        path: A checkpoint of `imagepg fit`, which holds its configuration; the authors' checkpoint, which
            stands for the published one; or safetensors, which need `config`.
        config: YAML of a run or of `configs/`, taken instead.

    Raises:
        FileNotFoundError, ValueError: See `fusion_models.weights.read_checkpoint`; also if the file is
        another app's, or holds no configuration and none is given, or does not fit the configuration.
    """
    plain = WEIGHTS.configuration(path, PARTS, config=config)
    detector = Detector(without_pretrained(plain.detector))
    WEIGHTS.load(detector, path)
    return LoadedDetector(detector.eval(), plain.image)


def batch_of(loaded: LoadedDetector, frame: Frame) -> Batch:
    """Return the frame as the detector takes it.

    Points outside its range stay: they may lie inside in a transformed copy of the cloud.
    """
    image = None if loaded.detector.config.image is None else loaded.image
    return collate([frame], loaded.classes, image=image)


@torch.no_grad()
def detect(loaded: LoadedDetector, frame: Frame) -> Detections:
    """Return what the detector finds in one frame, best first, on the CPU."""
    return loaded.detector.predict(batch_of(loaded, frame))[0]
