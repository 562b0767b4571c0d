"""Weights of Swin Transformers, whoever wrote the file: in timm's names and order.

Three layouts are in use. The authors' (`swin_tiny_patch4_window7_224.pth`, entry `model`) has timm's names
but puts the patch merging at the end of a stage, timm at the start of the next. mmdetection has names and an
order of the merged patches of its own. Facts: the released code of each, and timm's `checkpoint_filter_fn`.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import load_file
from torch import Tensor

_FILES = (".pth", ".pt", ".safetensors")
_CONTAINERS = ("model", "state_dict")
_MMDET_NAMES = (
    (re.compile(r"^norm(\d)\."), lambda match: f"norms.{int(match[1]) - 1}."),
    (re.compile(r"^stages\.(\d+)\.downsample"), lambda match: f"layers.{int(match[1]) + 1}.downsample"),
    (re.compile(r"^stages\."), "layers."),
    (re.compile(r"^patch_embed\.projection"), "patch_embed.proj"),
    (re.compile(r"attn\.w_msa\."), "attn."),
    (re.compile(r"ffn\.layers\.0\.0\."), "mlp.fc1."),
    (re.compile(r"ffn\.layers\.1\."), "mlp.fc2."),
)


def read_swin_weights(source: str) -> dict[str, Tensor]:
    """Return the weights of a Swin in timm's names; entries of a classifier may be among them.

    Args:
        source: A file (`.pth`, `.pt`, `.safetensors`) in any of the three layouts, the Swin alone or the
            backbone of a larger model, or the name of a timm model, which timm downloads.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file cannot be read, or holds no Swin.
    """
    path = Path(source)
    if path.suffix not in _FILES:
        return timm.create_model(source, pretrained=True).state_dict()
    if not path.is_file():
        raise FileNotFoundError(
            f"Swin weights {path}: no such file; expected swin_tiny_patch4_window7_224.pth of "
            "microsoft/Swin-Transformer, a file of timm or mmdetection, or the name of a timm model"
        )
    try:
        content: Any = load_file(path) if path.suffix == ".safetensors" else _unpickled(path)
    except Exception as error:
        raise ValueError(
            f"Swin weights {path}: cannot be read ({type(error).__name__}); it is truncated, or "
            "holds more than tensors and plain values"
        ) from error
    starts = [name.split("patch_embed.")[0] for name in content if "patch_embed." in name]
    if not starts:
        raise ValueError(f"Swin weights {path}: no entry is named patch_embed.*; is it a Swin Transformer?")
    return timm_layout(
        {name.removeprefix(starts[0]): value for name, value in content.items() if name.startswith(starts[0])}
    )


def _unpickled(path: Path) -> Any:
    content = torch.load(path, map_location="cpu", weights_only=True)
    for name in _CONTAINERS:
        content = content.get(name, content)
    return content


def timm_layout(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the state dict of a Swin in timm's layout, from any of the three; buffers are left out."""
    state = {
        name: value
        for name, value in state.items()
        if not name.endswith(("relative_position_index", "attn_mask"))
    }
    if any(name.startswith(("stages.", "patch_embed.projection")) for name in state):
        return _from_mmdet(state)
    if "layers.0.downsample.reduction.weight" not in state:
        return state
    return {
        re.sub(
            r"^layers\.(\d+)\.downsample", lambda match: f"layers.{int(match[1]) + 1}.downsample", name
        ): value
        for name, value in state.items()
    }


def _from_mmdet(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Patch merging takes 2x2 patches channel by channel, row-major; timm takes four sub-sampled maps.

    Their order is (0, 0), (1, 0), (0, 1), (1, 1), as in the authors' code.
    """
    converted = {}
    for name, value in state.items():
        if ".downsample." in name:
            patches = value.unflatten(-1, (-1, 4)).transpose(-1, -2)
            value = patches[..., [0, 2, 1, 3], :].flatten(-2)
        for pattern, replacement in _MMDET_NAMES:
            name = pattern.sub(replacement, name)
        converted[name] = value
    return converted
