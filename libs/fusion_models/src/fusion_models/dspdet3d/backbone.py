"""The backbone of DSPDet3D: a sparse ResNet-34 without pooling that keeps the results of all four stages."""

from collections.abc import Sequence

import torch
from sparseops import Sites, SparseTensor, sparse_conv, strided_map
from sparseops.nn import (
    SparseConv3d,
    SparseModule,
    SparseSequential,
    SubmanifoldConv3d,
    TransposedConv3d,
)
from torch import nn

from fusion_models.dspdet3d.config import DSPDet3DConfig
from fusion_models.layers.rows import RowBatchNorm


class ResidualBlock(SparseModule):
    """Two convolutions with batch norm beside the identity, then ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = _body(SubmanifoldConv3d(channels, channels, 3, bias=False), channels)

    def forward(self, tensor: SparseTensor) -> SparseTensor:
        """Return features on the same voxels."""
        through = self.body(tensor)
        return through.replace((through.features + tensor.features).relu_())


class HalvingBlock(SparseModule):
    """The same to cells twice as wide, beside a linear shortcut."""

    def __init__(self, entering: int, channels: int) -> None:
        super().__init__()
        self.body = _body(halving_conv(entering, channels), channels)
        self.shortcut = CornerShortcut(entering, channels)

    def forward(self, tensor: SparseTensor) -> SparseTensor:
        """Return features of the wider cells."""
        through = self.body(tensor)
        return through.replace((through.features + self.shortcut(tensor, through.sites)).relu_())


class CornerShortcut(nn.Module):
    """A convolution of one cell and stride 2, then batch norm: what lies at the lower corner of a wider cell.

    Where that place is empty the convolution gives 0, as in the released code.
    """

    def __init__(self, entering: int, channels: int) -> None:
        super().__init__()
        self.conv = SparseConv3d(entering, channels, 1, stride=2, bias=False, site_rule="minkowski")
        self.norm = RowBatchNorm(channels)

    def forward(self, tensor: SparseTensor, onto: Sites) -> torch.Tensor:
        """Return one row for each of these sites."""
        corners = strided_map(tensor.sites, kernel_size=1, stride=2, site_rule="minkowski", onto=onto)
        return self.norm(sparse_conv(tensor.features, self.conv.weight, kernel_map=corners))


class Backbone(nn.Module):
    """Convolution of stride 2, then four stages, each of which starts with one of stride 2."""

    def __init__(self, config: DSPDet3DConfig) -> None:
        super().__init__()
        entering = config.stem_channels
        self.stem = SparseSequential(halving_conv(3, entering), RowBatchNorm(entering), nn.ReLU(inplace=True))
        self.stages = residual_stages(entering, blocks=config.stage_blocks, channels=config.stage_channels)

    def forward(self, tensor: SparseTensor) -> list[SparseTensor]:
        """Return the result of every stage, finest first."""
        return results_of_stages(self.stages, self.stem(tensor))


def residual_stages(entering: int, *, blocks: Sequence[int], channels: Sequence[int]) -> nn.ModuleList:
    """Return stages of so many residual blocks and channels, each of which halves the resolution."""
    stages = nn.ModuleList()
    for count, width in zip(blocks, channels, strict=True):
        others = (ResidualBlock(width) for _ in range(count - 1))
        stages.append(SparseSequential(HalvingBlock(entering, width), *others))
        entering = width
    return stages


def results_of_stages(stages: nn.ModuleList, tensor: SparseTensor) -> list[SparseTensor]:
    """Run one stage after the other and return the result of each."""
    levels = []
    for stage in stages:
        tensor = stage(tensor)
        levels.append(tensor)
    return levels


def halving_conv(entering: int, channels: int) -> SparseConv3d:
    """Return a convolution of 3 x 3 x 3 cells onto cells twice as wide, of which each holds an input."""
    return SparseConv3d(entering, channels, 3, stride=2, bias=False, site_rule="minkowski")


def _body(first: SparseConv3d | SubmanifoldConv3d, channels: int) -> SparseSequential:
    return SparseSequential(
        first,
        RowBatchNorm(channels),
        nn.ReLU(inplace=True),
        SubmanifoldConv3d(channels, channels, 3, bias=False),
        RowBatchNorm(channels),
    )


def same_cells(entering: int, channels: int) -> SparseSequential:
    """Return a convolution of 3 x 3 x 3 cells that stays on its sites, batch norm and ReLU."""
    return SparseSequential(
        SubmanifoldConv3d(entering, channels, 3, bias=False), RowBatchNorm(channels), nn.ReLU(inplace=True)
    )


def generative_up(coarse: int, fine: int) -> SparseSequential:
    """Return an up-sampling to all 27 finer cells in reach of a coarse one, batch norm and ReLU."""
    return SparseSequential(
        TransposedConv3d(coarse, fine, 3, stride=2, bias=False, site_rule="minkowski"),
        RowBatchNorm(fine),
        nn.ReLU(inplace=True),
    )
