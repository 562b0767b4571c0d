"""Weights on disk: safetensors of our own, and the checkpoints that the models' authors released."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file, save_file
from sparseops import weight_from_spconv
from torch import Tensor, nn

from fusion_models.imagepg import guidance, image_backbone, occupancy, roi_head

_KERNEL_EDGE = 3
"""Longest edge of a sparse kernel of the family; a first axis longer than that is the output channels."""

_OWN_NAMES = (
    (re.compile(r"^backbone_3d\."), "backbone."),
    (re.compile(r"^backbone_2d\.deblocks\."), "bev.ups."),
    (re.compile(r"^dense_head\.conv_cls\."), "anchors.classes."),
    (re.compile(r"^dense_head\.conv_box\."), "anchors.boxes."),
    (re.compile(r"^dense_head\.conv_dir_cls\."), "anchors.directions."),
)
_BEV_BLOCK = re.compile(r"^backbone_2d\.blocks\.(\d+)\.(\d+)\.")
_PARTS = (
    ("image.", ("image_backbone.", "neck."), image_backbone.convert_official),
    ("roi.", ("roi_head.",), roi_head.convert_official),
    ("occupancy.", ("bev_heatmap_head.",), occupancy.convert_official),
    ("guidance.", ("backbone_2d.bev_fuse_blocks.", "backbone_2d.ADF_blocks."), guidance.convert_official),
)
"""Where a part sits in the detector, the prefixes of its released names, and its converter."""


class OfficialWeights(NamedTuple):
    """A released state dict in the names and layouts of `imagepg.Detector`."""

    state: dict[str, Tensor]
    left_out: tuple[str, ...]
    """Released names without a counterpart here (the step counter)."""


def save_weights(model: nn.Module, path: Path) -> None:
    """Write the state dict of a model as safetensors, under a temporary name first."""
    partial = path.with_name(path.name + ".partial")
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, partial)
    partial.replace(path)


def load_weights(model: nn.Module, path: Path) -> None:
    """Read a file of `save_weights` into a model.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: Names or shapes differ from the model's.
    """
    if not path.is_file():
        raise FileNotFoundError(f"load_weights: no file {path}; expected safetensors written by save_weights")
    load_state(model, load_file(path), source=str(path))


def read_official(path: Path) -> dict[str, Tensor]:
    """Return the `model_state` of a released checkpoint; only tensors and plain containers are unpickled.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file has no `model_state`.
    """
    if not path.is_file():
        raise FileNotFoundError(f"read_official: no file {path}; expected a checkpoint (.pth) of the authors")
    checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(checkpoint, Mapping) or "model_state" not in checkpoint:
        raise ValueError(
            f"read_official: {path} has no 'model_state'; use load_weights for safetensors of this package"
        )
    return dict(checkpoint["model_state"])


def convert_official(state: Mapping[str, Tensor]) -> OfficialWeights:
    """Return a released state dict in the names of `imagepg.Detector`.

    Sparse kernels may come as [out, kz, ky, kx, in] (spconv 2) or [kz, ky, kx, in, out] (spconv 1). The
    converted state may hold parts a given detector lacks (the image branch, the occupancy network).
    """
    converted: dict[str, Tensor] = {}
    for prefix, released, convert in _PARTS:
        part = {name: value for name, value in state.items() if name.startswith(released)}
        converted |= {prefix + name: value for name, value in convert(part).items()}
    left_out = []
    for name, value in state.items():
        if any(name.startswith(released) for _, released, _ in _PARTS):
            continue
        own = _own_name(name)
        if own is None:
            left_out.append(name)
        else:
            converted[own] = _sparse_kernel(value) if value.ndim == 5 else value
    return OfficialWeights(converted, tuple(left_out))


def load_official(model: nn.Module, state: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Load a released state dict (see `read_official`) into an `imagepg.Detector`; return the names left out.

    Entries of an image branch the detector does not have are left out, too. The detector's own entries must
    all be present, batch counters (`num_batches_tracked`) excepted.

    Raises:
        ValueError: An entry is missing or has another shape.
    """
    converted = convert_official(state)
    own = model.state_dict()
    known = {name: value for name, value in converted.state.items() if name in own}
    counters = {name: value for name, value in own.items() if name.endswith("num_batches_tracked")}
    load_state(model, counters | known, source="the released state dict")
    return (*converted.left_out, *(name for name in converted.state if name not in own))


def load_state(model: nn.Module, state: Mapping[str, Tensor], *, source: str) -> None:
    """Copy a state dict into a model.

    Args:
        source: What a message calls the state dict.

    Raises:
        ValueError: Names or shapes differ from the model's.
    """
    own = model.state_dict()
    missing, unknown = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    if missing or unknown:
        raise ValueError(
            f"{source}: {len(missing)} entries missing {missing[:3]}, {len(unknown)} unknown {unknown[:3]}; "
            "build the model with the configuration the weights were made with"
        )
    for name, value in state.items():
        if value.shape != own[name].shape:
            raise ValueError(
                f"{source}: {name} has shape {list(value.shape)}, the model expects {list(own[name].shape)}; "
                "build the model with the configuration the weights were made with"
            )
    model.load_state_dict(dict(state))


def _own_name(name: str) -> str | None:
    block = _BEV_BLOCK.match(name)
    if block:
        # the released blocks start with a padding layer, so every index is one higher
        return _BEV_BLOCK.sub(f"bev.blocks.{block[1]}.{int(block[2]) - 1}.", name)
    for pattern, replacement in _OWN_NAMES:
        if pattern.match(name):
            return pattern.sub(replacement, name)
    return None


def _sparse_kernel(value: Tensor) -> Tensor:
    return value if value.shape[0] <= _KERNEL_EDGE else weight_from_spconv(value)
