"""Weights of SPVNAS, SPVCNN and MinkUNet as their authors released them, in our names and layouts."""

import re
from collections.abc import Mapping
from typing import NamedTuple

import torch
from sparseops import convert_state_dict
from torch import Tensor

from fusion_models.segmentation.config import SegmentationNetConfig, StageWidths
from fusion_models.segmentation.network import SegmentationNet
from fusion_models.weights import load_state, renamed

RELEASED_ENTRY = "model"
"""Entry of the released checkpoints that holds the weights."""


def load_released(net: SegmentationNet, state: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Load a released state dict into a network and return the names left out, under our names.

    Names are those of SPVNAS, of its supernet (cut to the widths of the network by `slice_supernet`), or of
    SPVCNN and MinkUNet; with the `module.` of data-parallel training or without. Columns of the classifier
    that nothing reads (released SPVNAS stores 128 for 76 channels) are cut off. Left out are layers on points
    where the network has no point branch (the released MinkUNet has them, unused), and a projection where it
    has none. Where only the weights lack a projection, the network keeps its own: it is for training alone.
    All other entries must agree, batch counters excepted.

    Args:
        state: Entry `RELEASED_ENTRY` of a file that `fusion_models.weights.read_checkpoint` reads.

    Raises:
        ValueError: An entry is missing, unknown or has another shape.
    """
    if any(_SUPERNET.search(name) for name in state):
        state = slice_supernet(state, net.config)
    converted, own = convert_released(net, state), net.state_dict()
    unread = (
        *(() if net.config.point_branch else ("points.",)),
        *(() if net.projection is not None else ("projection.",)),
    )
    left_out = tuple(name for name in converted if name.startswith(unread))
    kept = {name: value for name, value in converted.items() if not name.startswith(unread)}
    optional = ["num_batches_tracked"]
    if not any(name.startswith("projection.") for name in converted):
        optional.append("projection.")
    defaults = {name: value for name, value in own.items() if any(part in name for part in optional)}
    load_state(net, defaults | kept, source="the released state dict")
    return left_out


def convert_released(net: SegmentationNet, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a released state dict in the names and layouts of a network.

    Entries that the network does not have are there too, under the names it would have for them.

    Raises:
        ValueError: An entry has another shape than the network's.
    """
    columns = net.classifier.in_features
    names = {name: _own_layout(name, value, columns) for name, value in renamed(state, _NAMES).items()}
    converted = convert_state_dict(net, names, source="torchsparse", axes="xyz")
    return converted.state_dict | {name: names[name] for name in converted.unexpected_keys}


def _own_layout(name: str, value: Tensor, columns: int) -> Tensor:
    # a released 1x1 convolution is [in, out], our linear layer [out, in]
    if name.endswith(".shortcut.0.weight"):
        return value.T
    return value[:, :columns] if name == "classifier.weight" else value


class _Cut(NamedTuple):
    """What a network takes of a layer of the supernet."""

    ins: list[int]
    out: int


def slice_supernet(state: Mapping[str, Tensor], config: SegmentationNetConfig) -> dict[str, Tensor]:
    """Return the weights that a network shares with the SPVNAS supernet, under the names of released SPVNAS.

    A layer takes the first channels, in and out. The first block of a stage up takes the channels of its skip
    connection from behind the widest transition, for that is where they are in the supernet. Blocks beyond
    the depth of the network are left out; stem, classifier and projection are taken whole.

    Args:
        state: Of the supernet, with `module.` in front or without.

    Raises:
        ValueError: The network is wider than the supernet; names the layer.
    """
    names = renamed(state, _SUPERNET_NAMES)
    cuts = _cuts(config, names)
    depths = {name: len(stage.blocks) for name, stage in _stages(config).items()}
    sliced = {}
    for name, value in names.items():
        block = _BLOCK.match(name)
        if block is not None and int(block[2]) >= depths.get(block[1], 0):
            continue
        layer, _, part = name.rpartition(".net.")
        sliced[name] = value if layer not in cuts else _cut(name, part, value, cuts[layer])
    return sliced


def _cut(name: str, part: str, value: Tensor, cut: _Cut) -> Tensor:
    if part == "bn.num_batches_tracked":
        return value
    ins = torch.tensor(cut.ins, device=value.device)
    out_axis, in_axis = (-1, -2) if part == "conv.kernel" else (0, 1)
    has_ins = part in ("conv.kernel", "conv.weight")
    if cut.out > value.shape[out_axis] or (has_ins and cut.ins[-1] >= value.shape[in_axis]):
        raise ValueError(
            f"slice_supernet: {name} has shape {list(value.shape)}, too small for {len(cut.ins)} channels in "
            f"and {cut.out} out; the configuration must be of a network sampled from this supernet"
        )
    value = value.narrow(out_axis, 0, cut.out)
    return value.index_select(in_axis, ins) if has_ins else value.clone()


def _stages(config: SegmentationNetConfig) -> dict[str, StageWidths]:
    downs = {f"downsample.{i}": stage for i, stage in enumerate(config.downs)}
    return downs | {f"upsample.{i}": stage for i, stage in enumerate(config.ups)}


def _cuts(config: SegmentationNetConfig, supernet: Mapping[str, Tensor]) -> dict[str, _Cut]:
    """What is taken of every layer whose width the supernet leaves open, by its name up to `.net.`."""
    cuts, entering = {}, config.stem
    skips = dict(zip((f"upsample.{i}" for i in range(len(config.ups))), config.skips, strict=True))
    for name, stage in _stages(config).items():
        cuts[f"{name}.transition"] = _Cut(list(range(entering)), stage.transition)
        ins = list(range(stage.transition))
        if name in skips:
            widest = supernet[f"{name}.transition.net.conv.kernel"].shape[-1]
            ins += range(widest, widest + skips[name])
        for number, block in enumerate(stage.blocks):
            place = f"{name}.feature.{number}"
            cuts[f"{place}.downsample"] = _Cut(ins, block.out)
            cuts[f"{place}.net.0"] = _Cut(ins, block.middle)
            cuts[f"{place}.net.1"] = _Cut(list(range(block.middle)), block.out)
            ins = list(range(block.out))
        entering = stage.out
    for number, (width, out) in enumerate(config.point_widths):
        cuts[f"point_transforms.{number}"] = _Cut(list(range(width)), out)
    return cuts


_PREFIX = (r"^module\.", "")
_SUPERNET = re.compile(r"\.feature\.layers\.\d+\.")
_BLOCK = re.compile(r"^((?:down|up)sample\.\d)\.feature\.(\d+)\.")

_SUPERNET_NAMES = (
    _PREFIX,
    (r"\.feature\.layers\.", ".feature."),
    (r"\.net\.layers\.", ".net."),
    (r"\.bn\.bn\.", ".bn."),
    (r"\.conv\.linear\.", ".conv."),
)
"""Names of the supernet, and of the network that is cut from it."""

_NAMES = (
    _PREFIX,
    # SPVNAS
    (r"^downsample\.(?=\d)", "downs."),
    (r"^upsample\.(?=\d)", "ups."),
    (r"\.transition\.net\.conv\.", ".transition.0."),
    (r"\.transition\.net\.bn\.", ".transition.1."),
    (r"\.feature\.(\d)\.net\.(\d)\.net\.conv\.", lambda m: f".blocks.{m[1]}.body.{3 * int(m[2])}."),
    (r"\.feature\.(\d)\.net\.(\d)\.net\.bn\.", lambda m: f".blocks.{m[1]}.body.{3 * int(m[2]) + 1}."),
    (r"\.feature\.(\d)\.downsample\.net\.conv\.", r".blocks.\1.shortcut.0."),
    (r"\.feature\.(\d)\.downsample\.net\.bn\.", r".blocks.\1.shortcut.1."),
    (r"^point_transforms\.(\d)\.net\.conv\.", r"points.\1.0."),
    (r"^point_transforms\.(\d)\.net\.bn\.", r"points.\1.1."),
    (r"^classifier\.linear\.", "classifier."),
    (r"^proj\.", "projection."),
    # SPVCNN and MinkUNet, which count from 1, and the transition as the first block down
    (r"^stage(\d)\.0\.net\.", lambda m: f"downs.{int(m[1]) - 1}.transition."),
    (r"^stage(\d)\.(\d)\.", lambda m: f"downs.{int(m[1]) - 1}.blocks.{int(m[2]) - 1}."),
    (r"^up(\d)\.0\.net\.", lambda m: f"ups.{int(m[1]) - 1}.transition."),
    (r"^up(\d)\.1\.(\d)\.", lambda m: f"ups.{int(m[1]) - 1}.blocks.{m[2]}."),
    (r"(\.blocks\.\d)\.net\.", r"\1.body."),
    (r"(\.blocks\.\d)\.downsample\.", r"\1.shortcut."),
    (r"^point_transforms\.", "points."),
    (r"^classifier\.0\.", "classifier."),
    # a kernel of one cell is a linear layer here
    (r"(\.shortcut\.0)\.kernel$", r"\1.weight"),
)
"""Released names and ours, by family. Kernels are renamed where their layout is changed."""
