"""Segmentation models by name, from transformers, torchvision, timm or your own code, as functions.

Nothing here is needed to train or evaluate; the libraries are imported when a model of theirs is named. What
counts is that a model knows the 150 classes of ADE20K's scene parsing set in their order, 0 wall to 149 flag.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from datasets3d.depth.masks import CLASS_COUNT, RADAR_CLASSES
from jaxtyping import Float, UInt8
from torch import Tensor, nn

Segment = Callable[[UInt8[Tensor, "h w 3"]], UInt8[Tensor, "h w"]]
"""Class ids of an RGB picture."""

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's, of RGB in 0..1: what torchvision, timm and nearly all ADE20K models are trained with."""
SOURCES = ("transformers", "torchvision", "timm", "python")


def load_segmenter(name: str, *, weights: Path | None, side_px: int, device: str) -> Segment:
    """Return a segmentation model as a function.

    Args:
        name: `transformers:NAME` (a hub name or a folder with its files, image processor included),
            `torchvision:NAME` or `timm:NAME` (built with 150 classes; `weights` says which), or
            `python:MODULE:FUNCTION`, a function without arguments that returns a module whose output for
            normalised pictures [1, 3, h, w] is logits [1, 150, h', w'], alone or as `["out"]` or `.logits`.
        weights: State dict, `.safetensors` or `.pt` (tensors only). Needed for torchvision and timm, whose
            own weights know other classes.
        side_px: Shorter side that pictures are scaled to before they enter the model; not for transformers,
            whose image processor says it.
        device: Of the model.

    Raises:
        ImportError: The library is not installed; says how to install it.
        ValueError: Unknown source or name, weights that do not fit, or a model of other classes.
    """
    source, _, rest = name.partition(":")
    if source not in SOURCES or not rest:
        raise ValueError(f"model {name!r}: expected SOURCE:NAME with SOURCE one of {', '.join(SOURCES)}")
    if source == "transformers":
        return _transformers(rest, device)
    model = _python(rest) if source == "python" else _by_name(source, rest, weights)
    if weights is not None:
        _load(model, weights)
    model = model.eval().to(device)

    @torch.no_grad()
    def segment(image: UInt8[Tensor, "h w 3"]) -> UInt8[Tensor, "h w"]:
        height, width = image.shape[:2]
        scale = side_px / min(height, width)
        size = (round(height * scale), round(width * scale))
        x = image.to(device).permute(2, 0, 1)[None].float() / 255
        x = nn.functional.interpolate(x, size=size, mode="bilinear", antialias=True)
        x = (x - x.new_tensor(MEAN)[:, None, None]) / x.new_tensor(STD)[:, None, None]
        return _ids(_logits(model(x), name), height, width)

    return segment


def _import(library: str) -> Any:
    try:
        return importlib.import_module(library)
    except ImportError as error:
        raise ImportError(
            f"masks by a model of {library} need {library}, which is not installed: pip install {library}"
        ) from error


def _transformers(name: str, device: str) -> Segment:
    library = _import("transformers")
    processor = library.AutoImageProcessor.from_pretrained(name)
    config = library.AutoConfig.from_pretrained(name)
    kind = type(config).__name__.removesuffix("Config")
    universal = kind in ("Mask2Former", "MaskFormer", "OneFormer")
    maker = (
        library.AutoModelForUniversalSegmentation if universal else library.AutoModelForSemanticSegmentation
    )
    check_classes(config.id2label, name)
    model = maker.from_pretrained(name).eval().to(device)

    @torch.no_grad()
    def segment(image: UInt8[Tensor, "h w 3"]) -> UInt8[Tensor, "h w"]:
        extra = {"task_inputs": ["semantic"]} if kind == "OneFormer" else {}
        inputs = processor(images=image.numpy(), return_tensors="pt", **extra).to(device)
        size = [tuple(image.shape[:2])]
        found = processor.post_process_semantic_segmentation(model(**inputs), target_sizes=size)
        return found[0].to(torch.uint8).cpu()

    return segment


def _by_name(source: str, name: str, weights: Path | None) -> nn.Module:
    library = _import(source)
    if weights is None:
        raise ValueError(
            f"{source}:{name}: {source} has no weights for ADE20K's 150 classes; name those you trained with "
            "--weights, or take a transformers model that was trained on ADE20K"
        )
    try:
        if source == "timm":
            return library.create_model(name, num_classes=CLASS_COUNT)
        return library.models.get_model(
            name, weights=None, weights_backbone=None, num_classes=CLASS_COUNT, aux_loss=None
        )
    except (RuntimeError, ValueError, TypeError) as error:
        raise ValueError(f"{source}:{name}: cannot be built with 150 classes: {error}") from error


def _python(path: str) -> nn.Module:
    module, _, function = path.partition(":")
    try:
        made = getattr(importlib.import_module(module), function)()
    except (ImportError, AttributeError) as error:
        raise ValueError(f"python:{path}: {error}; expected MODULE:FUNCTION, importable from here") from error
    if not isinstance(made, nn.Module):
        raise ValueError(f"python:{path}: expected a torch.nn.Module, got {type(made).__name__}")
    return made


def _load(model: nn.Module, path: Path) -> None:
    from fusion_models.weights import load_weights, read_checkpoint

    if path.suffix == ".safetensors":
        load_weights(model, path)
        return
    content = read_checkpoint(path, entries=("state_dict", "model", *list(model.state_dict())[:1]))
    state = content.get("state_dict", content.get("model", content))
    wanted = model.state_dict()
    # An auxiliary head of the training is not built here.
    state = {key: value for key, value in state.items() if key in wanted}
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip()[:160]
        raise ValueError(f"weights {path}: another model's, first difference: {first}") from error


def check_classes(names: Mapping[Any, str], model: str) -> None:
    """Refuse a model whose classes are not ADE20K's 150; those that count here are compared by name.

    Raises:
        ValueError: Another number, or another name at one of the ids that radar can hit.
    """
    found = {int(key): value.lower() for key, value in names.items()}
    if len(found) != CLASS_COUNT:
        raise ValueError(f"{model}: knows {len(found)} classes, expected the {CLASS_COUNT} of ADE20K")
    wrong = {i: found.get(i) for i, name in RADAR_CLASSES.items() if name not in found.get(i, "")}
    if wrong:
        i = min(wrong)
        raise ValueError(
            f"{model}: its class {i} is {wrong[i]!r}, ADE20K's is {RADAR_CLASSES[i]!r}; masks need a model "
            "trained on ADE20K's 150 classes, numbered from 0"
        )


def _logits(output: Any, name: str) -> Float[Tensor, "1 c h w"]:
    found = output["out"] if isinstance(output, Mapping) and "out" in output else output
    found = getattr(found, "logits", found)
    if not isinstance(found, Tensor) or found.ndim != 4 or found.shape[:2] != (1, CLASS_COUNT):
        shape = list(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise ValueError(
            f"{name}: expected logits [1, {CLASS_COUNT}, h, w] for a picture, got {shape}; is it a "
            "segmentation model for ADE20K's 150 classes?"
        )
    return found


def _ids(logits: Float[Tensor, "1 c h w"], height: int, width: int) -> UInt8[Tensor, "h w"]:
    full = nn.functional.interpolate(logits.float(), size=(height, width), mode="bilinear")
    return full[0].argmax(dim=0).to(torch.uint8).cpu()
