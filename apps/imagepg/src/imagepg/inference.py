"""A trained detector from a checkpoint, and its application to single frames."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from appkit.checkpoints import read_checkpoint
from appkit.cli import plain_defaults
from datasets3d.frame import Frame
from fusion_models.batch import Batch, Detections, ImageInput, collate
from fusion_models.imagepg import Detector, DetectorConfig
from jsonargparse import ArgumentParser

from imagepg.weights import OWN, RELEASED, load_weights_file, without_pretrained


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
        FileNotFoundError, ValueError: See `appkit.checkpoints.read_checkpoint`; also if the file is another
        app's, or holds no configuration and none is given, or does not fit the configuration.
    """
    parts = _parts_of_checkpoint(path) if config is None else _parts_of_config(config)
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--detector", type=DetectorConfig)
    parser.add_argument("--image", type=ImageInput)
    parser.set_defaults(plain_defaults("detector", DetectorConfig()))
    plain = parser.instantiate(parser.parse_object(parts))
    detector = Detector(without_pretrained(plain.detector))
    load_weights_file(detector, path)
    return LoadedDetector(detector.eval(), plain.image)


def _parts_of_checkpoint(path: Path) -> dict[str, Any]:
    if path.suffix == ".safetensors":
        raise ValueError(
            f"weights {path}: safetensors hold no configuration; name that of the run, config.yaml"
        )
    content = read_checkpoint(path, entries=(OWN, RELEASED))
    if RELEASED in content:
        return {}
    if "detector_config" not in content or "image_input" not in content:
        raise ValueError(
            f"checkpoint {path}: not written by `imagepg fit` (it holds no detector configuration)"
        )
    return {"detector": content["detector_config"], "image": content["image_input"]}


def _parts_of_config(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"configuration {path}: no such file; expected YAML as in configs/")
    content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    found = {"detector": (content.get("model") or {}).get("detector")}
    found |= {"image": (content.get("data") or {}).get("image")}
    return {name: part for name, part in found.items() if part is not None}


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
