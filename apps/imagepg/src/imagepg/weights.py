"""Weights from a file: a checkpoint of `imagepg fit`, safetensors, or the checkpoint the authors released."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from appkit.checkpoints import read_checkpoint
from fusion_models.imagepg import Detector, DetectorConfig
from fusion_models.weights import load_official, load_weights

RELEASED = "model_state"
"""Entry of the authors' checkpoints that holds the weights."""
OWN = "state_dict"
"""The same of the trainer's checkpoints."""
_PREFIX = "detector."


def is_trainer_checkpoint(path: Path) -> bool:
    """Return whether a file holds a trainer's state (`imagepg fit`), False if it holds weights alone.

    Raises:
        FileNotFoundError, ValueError: See `appkit.checkpoints.read_checkpoint`.
    """
    if path.suffix == ".safetensors":
        return False
    return OWN in read_checkpoint(path, entries=(OWN, RELEASED))


def load_weights_file(detector: Detector, path: Path) -> None:
    """Read the weights of a file into a detector; all of the detector's must be there, in its shapes.

    Args:
        path: `.safetensors` as `imagepg fit` leaves them, a checkpoint of `imagepg fit`, or a released one.

    Raises:
        FileNotFoundError, ValueError: The file is missing, is none of these, or is another model's.
    """
    if path.suffix == ".safetensors":
        load_weights(detector, path)
        return
    content = read_checkpoint(path, entries=(OWN, RELEASED))
    if OWN in content:
        load_own(detector, content, source=path)
        return
    try:
        load_official(detector, content[RELEASED])
    except ValueError as error:
        raise ValueError(f"weights {path}: {error}") from error


def load_own(detector: Detector, content: Mapping[str, Any], *, source: Path) -> None:
    """Read the content of a checkpoint of `imagepg fit` into a detector.

    Raises:
        ValueError: Names or shapes differ.
    """
    state = {name.removeprefix(_PREFIX): value for name, value in content[OWN].items()}
    try:
        detector.load_state_dict(state)
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip()[:160]
        raise ValueError(
            f"weights {source}: made with another configuration, first difference: {first}; build the model "
            "with the configuration of that run (its config.yaml)"
        ) from error


def without_pretrained(config: DetectorConfig) -> DetectorConfig:
    """Return the configuration of the same model whose image branch does not look for ImageNet weights."""
    if config.image is None:
        return config
    return replace(config, image=replace(config.image, swin=replace(config.image.swin, pretrained=None)))
