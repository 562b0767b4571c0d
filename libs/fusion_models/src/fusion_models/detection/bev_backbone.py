"""The 2D convolutional backbone over a bird's-eye-view map (SECOND; released as `BaseBEVBackbone`)."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fusion_models.layers.norms import batch_norm_2d


@dataclass(frozen=True)
class BevBackboneConfig:
    """Blocks of the backbone; every tuple has one entry per block. Source: imagepg.yaml, BACKBONE_2D."""

    layers: tuple[int, ...] = (5, 5)
    """3x3 convolutions after the first, strided one."""
    strides: tuple[int, ...] = (1, 2)
    """Stride of a block relative to the block before."""
    channels: tuple[int, ...] = (128, 256)
    """Output channels of a block."""
    up_strides: tuple[int, ...] = (1, 2)
    """Upsampling factor back to the output resolution."""
    up_channels: tuple[int, ...] = (256, 256)
    """Channels of each upsampled map; the output is their concatenation."""

    def __post_init__(self) -> None:
        fields = (self.layers, self.strides, self.channels, self.up_strides, self.up_channels)
        if not self.layers or len({len(field) for field in fields}) != 1:
            raise ValueError(
                "BevBackboneConfig: layers, strides, channels, up_strides and up_channels need one entry per "
                f"block, got lengths {[len(field) for field in fields]}"
            )
        total = 1
        for stride, up_stride in zip(self.strides, self.up_strides, strict=True):
            total *= stride
            if up_stride * self.strides[0] != total:
                raise ValueError(
                    f"BevBackboneConfig: up_strides {self.up_strides} do not bring strides {self.strides} "
                    "back to the first block; an up_stride is the product of the strides after the first"
                )

    @property
    def out_channels(self) -> int:
        """Channels of the backbone's output."""
        return sum(self.up_channels)

    def check_map(self, size_yx: tuple[int, int]) -> None:
        """Refuse a map whose sides the strides do not divide: its upsampled maps would not fit together.

        Raises:
            ValueError: Names the sides and the total stride.
        """
        total = self.up_strides[-1] * self.strides[0]
        if size_yx[0] % total or size_yx[1] % total:
            raise ValueError(
                f"BevBackbone: map of {size_yx[0]} x {size_yx[1]} cells is not divisible by the total "
                f"stride {total}; choose bounds and voxel size that make it so"
            )


class BevBackbone(nn.Module):
    """Down through strided blocks, up again from each of them, and concatenated.

    Occupancy guidance is not part of it: a module that fuses guidance into the map goes in front.
    """

    def __init__(self, in_channels: int, config: BevBackboneConfig) -> None:
        super().__init__()
        self.config = config
        self.blocks = nn.ModuleList()
        self.ups = nn.ModuleList()
        width = in_channels
        for block in range(len(config.layers)):
            channels = config.channels[block]
            self.blocks.append(
                _block(width, channels, stride=config.strides[block], layers=config.layers[block])
            )
            self.ups.append(_up(channels, config.up_channels[block], stride=config.up_strides[block]))
            width = channels

    def forward(self, bev: Float[Tensor, "b c y x"]) -> Float[Tensor, "b out ys xs"]:
        """Return the [B, config.out_channels, ...] map at the resolution of the first block.

        Raises:
            ValueError: See `BevBackboneConfig.check_map`.
        """
        self.config.check_map((bev.shape[2], bev.shape[3]))
        maps = []
        for block, up in zip(self.blocks, self.ups, strict=True):
            bev = block(bev)
            maps.append(up(bev))
        return torch.cat(maps, dim=1)


def _block(in_channels: int, channels: int, *, stride: int, layers: int) -> nn.Sequential:
    modules: list[nn.Module] = []
    for layer in range(layers + 1):
        modules += [
            nn.Conv2d(
                in_channels if layer == 0 else channels,
                channels,
                3,
                stride=stride if layer == 0 else 1,
                padding=1,
                bias=False,
            ),
            batch_norm_2d(channels),
            nn.ReLU(),
        ]
    return nn.Sequential(*modules)


def _up(in_channels: int, channels: int, *, stride: int) -> nn.Sequential:
    up = nn.ConvTranspose2d(in_channels, channels, stride, stride=stride, bias=False)
    return nn.Sequential(up, batch_norm_2d(channels), nn.ReLU())
