"""Fusion of the BEV map with the occupancy guidance, and the attention after it (ImagePG's "ADF").

Source: released code, `bev_fuse_blocks` and `ADF_blocks` of the 2D backbone; the attention is that of CBAM
(Woo et al., arXiv 1807.06521).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fusion_models.layers.norms import batch_norm_2d


@dataclass(frozen=True)
class GuidanceFusionConfig:
    """Widths of the fusion."""

    hidden: int = 256
    """Channels between the two convolutions. Source: imagepg.yaml, BACKBONE_2D.FUSE_HM."""
    reduction: int = 16
    """The channel attention's hidden layer is this many times narrower. Source: released code."""
    kernel: int = 7
    """Edge of the spatial attention's convolution. Source: released code."""

    def __post_init__(self) -> None:
        if min(self.hidden, self.reduction) < 1 or self.kernel < 1 or not self.kernel % 2:
            raise ValueError(
                "GuidanceFusionConfig: hidden and reduction must be positive and kernel odd, got "
                f"{self.hidden}, {self.reduction} and {self.kernel}"
            )


class GuidanceFusion(nn.Module):
    """Two 3x3 convolutions over map and guidance, then channel and spatial attention; the shape stays."""

    def __init__(self, channels: int, config: GuidanceFusionConfig) -> None:
        super().__init__()
        self.mix = nn.Sequential(
            nn.Conv2d(channels + 1, config.hidden, 3, padding=1, bias=False),
            batch_norm_2d(config.hidden),
            nn.ReLU(inplace=True),
            nn.Conv2d(config.hidden, channels, 3, padding=1, bias=False),
            batch_norm_2d(channels),
            nn.ReLU(inplace=True),
        )
        narrow = max(1, channels // config.reduction)
        self.channels = nn.Sequential(
            nn.Conv2d(channels, narrow, 1, bias=False),
            nn.ReLU(inplace=True),
            nn.Conv2d(narrow, channels, 1, bias=False),
        )
        self.places = nn.Conv2d(2, 1, config.kernel, padding=config.kernel // 2, bias=False)

    def forward(
        self, bev: Float[Tensor, "b c y x"], guidance: Float[Tensor, "b 1 y x"]
    ) -> Float[Tensor, "b c y x"]:
        """Return the map weighted by what guidance and map agree on."""
        return self.attend(self.mix(torch.cat([bev, guidance], dim=1)))

    def attend(self, bev: Float[Tensor, "b c y x"]) -> Float[Tensor, "b c y x"]:
        """Return the map times its channel weights, times its place weights."""
        pooled = bev.mean((2, 3), keepdim=True), bev.amax((2, 3), keepdim=True)
        bev = bev * torch.sigmoid(self.channels(pooled[0]) + self.channels(pooled[1]))
        summary = torch.cat([bev.mean(1, keepdim=True), bev.amax(1, keepdim=True)], dim=1)
        return bev * torch.sigmoid(self.places(summary))
