"""A trained detector from a checkpoint, and its application to single frames."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from appkit.checkpoints import read_checkpoint
from datasets3d import augment as augmentation
from datasets3d.frame import Frame
from fusion_models.batch import Detections, ImageInput, collate
from fusion_models.imagepg import Detector, DetectorConfig
from jsonargparse import ArgumentParser


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


def load_detector(path: Path) -> LoadedDetector:
    """Rebuild the model of a checkpoint of `imagepg fit` and load its weights.

    Raises:
        FileNotFoundError, ValueError: See `appkit.checkpoints.read_checkpoint`; also if the checkpoint is
        another app's.
    """
    content = read_checkpoint(path)
    if "detector_config" not in content or "image_input" not in content:
        raise ValueError(
            f"checkpoint {path}: not written by `imagepg fit` (it holds no detector configuration)"
        )
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--detector", type=DetectorConfig)
    parser.add_argument("--image", type=ImageInput)
    parsed = parser.parse_object({"detector": content["detector_config"], "image": content["image_input"]})
    plain = parser.instantiate(parsed)
    detector = Detector(plain.detector)
    prefix = "detector."
    detector.load_state_dict(
        {name.removeprefix(prefix): value for name, value in content["state_dict"].items()}
    )
    return LoadedDetector(detector.eval(), plain.image)


@torch.no_grad()
def detect(loaded: LoadedDetector, frame: Frame) -> Detections:
    """Return what the detector finds in one frame, best first, on the CPU."""
    frame = augmentation.crop_range(frame, loaded.bounds)
    image = None if loaded.detector.config.image is None else loaded.image
    batch = collate([frame], loaded.classes, image=image)
    return loaded.detector.predict(batch)[0]
