"""Architectures as data: a table of widths is a network (MinkUNet, SPVCNN, all of the SPVNAS family)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from datasets3d.semantickitti import SINGLE_SCAN

STAGES = 4
"""Stages down, and as many up; the coarsest voxels are 2**4 = 16 fine ones wide."""


@dataclass(frozen=True)
class BlockWidths:
    """A residual block: two convolutions of three cells an edge, `middle` channels between them."""

    middle: int
    """Channels between the two convolutions."""
    out: int
    """Channels of the result."""
    shortcut: Literal["identity", "linear"] = "identity"
    """What goes around them. `"identity"` needs as many channels in as out."""


@dataclass(frozen=True)
class StageWidths:
    """A stage: a convolution of two cells an edge and stride 2 (upwards its transpose), then blocks."""

    transition: int
    """Channels behind the strided convolution. Upwards those of the skip connection come behind them."""
    blocks: tuple[BlockWidths, ...]
    """One residual block or more."""

    @property
    def out(self) -> int:
        """Channels of the result."""
        return self.blocks[-1].out


def _searched(transition: int, out: int, *middle: int) -> StageWidths:
    """A stage of the SPVNAS family: the first block has a linear shortcut, whatever its widths."""
    first, *others = middle
    return StageWidths(
        transition, (BlockWidths(first, out, "linear"), *(BlockWidths(width, out) for width in others))
    )


@dataclass(frozen=True)
class SegmentationNetConfig:
    """A U-Net on voxels, with a branch on points or without; the defaults are SPVNAS@10.8M of Cluster3DSeg.

    Raises:
        ValueError: A number of stages other than 4 and 4, a stage without blocks, widths below 1, an identity
            shortcut between different widths, no classes or two of one name, a dropout outside [0, 1), or a
            voxel without size.
    """

    class_names: tuple[str, ...] = SINGLE_SCAN.classes
    """Classes in the order of the index. Source: SemanticKITTI, single scan."""
    in_features: int = 4
    """Columns of a point: x y z in metres, intensity. Source: released data set."""
    voxel_m: float = 0.05
    """Edge of the voxels that the weights are made for, in metres. Source: net.config, `vres`."""
    stem: int = 32
    """Channels of both convolutions at full resolution. Source: net.config, `output_channels`, first."""
    downs: tuple[StageWidths, ...] = (
        _searched(16, 24, 44, 36),
        _searched(44, 52, 80, 68),
        _searched(84, 188, 64, 68),
        _searched(152, 232, 116, 96),
    )
    """Stages down, to 2, 4, 8 and 16 fine voxels an edge. Source: net.config of SPVNAS@65GMACs, decoded."""
    ups: tuple[StageWidths, ...] = (
        _searched(188, 140, 140, 248),
        _searched(104, 152, 64),
        _searched(48, 96, 104, 56),
        _searched(64, 76, 112),
    )
    """Stages up, back to the fine voxels. Source: as `downs`."""
    point_branch: bool = True
    """Whether features of single points go past the coarse voxels (SPVCNN, SPVNAS) or not (MinkUNet)."""
    dropout: float = 0.3
    """Share of the values dropped before the first and the third stage up, in training. Source: released
    SPVCNN and SPVNAS; the released MinkUNet has none."""
    projection: tuple[int, ...] | None = (256, 128, 64)
    """Widths of the head that makes embeddings for the clustering loss, in training alone; None: without.
    Source: released Cluster3DSeg, `proj`."""

    def __post_init__(self) -> None:
        """Check that the parts fit together."""
        if len(self.downs) != STAGES or len(self.ups) != STAGES:
            raise ValueError(
                f"SegmentationNetConfig: downs and ups must have {STAGES} stages each, got {len(self.downs)} "
                f"and {len(self.ups)}"
            )
        if not self.class_names or len(set(self.class_names)) != len(self.class_names):
            raise ValueError(
                f"SegmentationNetConfig.class_names must be distinct names, got {self.class_names}"
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"SegmentationNetConfig.dropout must lie in [0, 1), got {self.dropout}")
        if not self.voxel_m > 0:
            raise ValueError(f"SegmentationNetConfig.voxel_m must be positive, got {self.voxel_m}")
        widths = (self.in_features, self.stem, *(self.projection or ()))
        if min(widths) < 1 or self.projection == ():
            raise ValueError(
                "SegmentationNetConfig: in_features, stem and the widths of projection must be at least 1, "
                f"got {self.in_features}, {self.stem} and {self.projection}; None is no projection"
            )
        for place, stage, skip in (
            *((f"downs[{i}]", stage, 0) for i, stage in enumerate(self.downs)),
            *(
                (f"ups[{i}]", stage, skip)
                for i, (stage, skip) in enumerate(zip(self.ups, self.skips, strict=True))
            ),
        ):
            _check_stage(place, stage, skip)

    @property
    def num_classes(self) -> int:
        """How many classes there are."""
        return len(self.class_names)

    @property
    def skips(self) -> tuple[int, ...]:
        """Channels that every stage up takes from the way down."""
        return (*(stage.out for stage in self.downs[-2::-1]), self.stem)

    @property
    def bottleneck(self) -> int:
        """Channels of the coarsest voxels."""
        return self.downs[-1].out

    @property
    def point_widths(self) -> tuple[tuple[int, int], ...]:
        """Channels in and out of the layers on points: past the way down, two stages up, and two more."""
        middle, out = self.ups[1].out, self.ups[3].out
        return (self.stem, self.bottleneck), (self.bottleneck, middle), (middle, out)


def _check_stage(place: str, stage: StageWidths, skip: int) -> None:
    if not stage.blocks:
        raise ValueError(f"SegmentationNetConfig.{place}: a stage needs at least one block, got none")
    width = stage.transition + skip
    for number, block in enumerate(stage.blocks):
        if min(stage.transition, block.middle, block.out) < 1:
            raise ValueError(f"SegmentationNetConfig.{place}: widths must be at least 1, got {stage}")
        if block.shortcut == "identity" and block.out != width:
            raise ValueError(
                f"SegmentationNetConfig.{place}.blocks[{number}]: an identity shortcut needs as many "
                f"channels in as out, got {width} and {block.out}; use shortcut='linear'"
            )
        width = block.out


SPVNAS_10M8 = SegmentationNetConfig()
"""SPVNAS@10.8M (SPVNAS@65GMACs) with the projection of Cluster3DSeg."""

_HAND_MADE = (32, 32, 64, 128, 256, 256, 128, 96, 96)


def spvcnn(cr: float = 1.0) -> SegmentationNetConfig:
    """Return SPVCNN (Tang et al., arXiv 2007.16100) with all widths times `cr`, as released: no projection.

    Published are 0.5, 0.64 and 1.0, which others call W16, W20 and W32.

    Raises:
        ValueError: A width falls below 1.

    Example:
        >>> spvcnn(0.5).stem, spvcnn(0.5).bottleneck
        (16, 128)
    """
    stem, *rest = (int(cr * width) for width in _HAND_MADE)
    outs = (stem, *rest)
    downs = tuple(_hand_made(outs[i], outs[i], outs[i + 1]) for i in range(STAGES))
    ups = tuple(_hand_made(outs[5 + i], outs[5 + i] + outs[3 - i], outs[5 + i]) for i in range(STAGES))
    return SegmentationNetConfig(stem=stem, downs=downs, ups=ups, projection=None)


def minkunet(cr: float = 1.0) -> SegmentationNetConfig:
    """Return MinkUNet (Choy et al., arXiv 1904.08755) as the authors of SPVNAS release it.

    Raises:
        ValueError: A width falls below 1.

    Example:
        >>> minkunet().point_branch, minkunet().dropout
        (False, 0.0)
    """
    whole = spvcnn(cr)
    return SegmentationNetConfig(
        stem=whole.stem, downs=whole.downs, ups=whole.ups, point_branch=False, dropout=0.0, projection=None
    )


def _hand_made(transition: int, entering: int, out: int) -> StageWidths:
    first = BlockWidths(out, out, "identity" if entering == out else "linear")
    return StageWidths(transition, (first, BlockWidths(out, out)))


def spvnas_from_net_config(
    net_config: Mapping[str, Any], *, class_names: Sequence[str] = SINGLE_SCAN.classes
) -> SegmentationNetConfig:
    """Return the network that a `net.config` of the SPVNAS family chooses from the supernet; no projection.

    Keys are the names of the supernet's modules, as in its state dict, with the number chosen for each:
    `downsample.I.transition` a width, `downsample.I.feature` how many blocks,
    `downsample.I.feature.layers.J.net.layers.0` the width within block J, the same under `upsample`; and
    `output_channels`, nine widths of stem and stages. Settings of blocks that are not there are inert, and
    so are other keys. `vres` (else `pres`) is the voxel size, 0.05 m without.

    Args:
        net_config: Content of the JSON file.
        class_names: As many as its `num_classes` says.

    Raises:
        ValueError: A key is missing or holds another kind of value, or `num_classes` differs; names it.
    """
    outs = net_config.get("output_channels")
    if not isinstance(outs, Sequence) or len(outs) != 1 + 2 * STAGES:
        raise ValueError(
            f"net.config: output_channels must list {1 + 2 * STAGES} widths of stem and stages, got {outs!r}"
        )
    classes = net_config.get("num_classes", len(class_names))
    if classes != len(class_names):
        raise ValueError(
            f"net.config: num_classes is {classes}, but class_names has {len(class_names)}; give the names "
            "of its classes"
        )
    stages = [f"{way}.{i}" for way in ("downsample", "upsample") for i in range(STAGES)]
    tables = tuple(_stage_of(net_config, name, out) for name, out in zip(stages, outs[1:], strict=True))
    return SegmentationNetConfig(
        class_names=tuple(class_names),
        voxel_m=float(net_config.get("vres", net_config.get("pres", SPVNAS_10M8.voxel_m))),
        stem=outs[0],
        downs=tables[:STAGES],
        ups=tables[STAGES:],
        projection=None,
    )


def _stage_of(net_config: Mapping[str, Any], name: str, out: int) -> StageWidths:
    depth = _number(net_config, f"{name}.feature")
    middle = (_number(net_config, f"{name}.feature.layers.{block}.net.layers.0") for block in range(depth))
    return _searched(_number(net_config, f"{name}.transition"), out, *middle)


def _number(net_config: Mapping[str, Any], key: str) -> int:
    value = net_config.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(
            f"net.config: {key} must be a whole number of at least 1, got {value!r}; the file must be of a "
            "network sampled from the SPVNAS supernet"
        )
    return value
