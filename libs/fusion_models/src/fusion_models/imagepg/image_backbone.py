"""Image branch: Swin Transformer, top-down neck and channel reduction of ImagePG.

Swin: Liu et al., arXiv 2103.14030. Neck: the "generalized LSS FPN" of BEVFusion (Liu et al., arXiv
2205.13542). The published detector (arXiv 2409.14985, released imagepg.yaml) uses the Swin of mmdetection,
which differs from timm's in one point: maps are zero padded to whole windows *before* the cyclic shift, not
after it. The parts below (`WindowAttention`, `PatchMerging`, `PatchEmbed`) are timm's and keep its parameter
names, so that timm's weights load; only the block is written here, with the published order. Input sizes are
free.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from timm.layers.drop import DropPath
from timm.layers.mlp import Mlp
from timm.layers.patch_embed import PatchEmbed
from timm.models.swin_transformer import PatchMerging, WindowAttention, window_partition, window_reverse
from torch import Tensor, nn

from fusion_models.imagepg.image_config import ImageBackboneConfig, SwinConfig
from fusion_models.imagepg.swin_weights import read_swin_weights

_MASKED = -100.0
"""Added to the attention logits of tokens that the cyclic shift made neighbours. Source: Swin, released
code."""


def shift_mask(
    height: int, width: int, *, window: int, shift: int, device: torch.device | None = None
) -> Float[Tensor, "windows area area"]:
    """Return what to add to the attention logits of a cyclically shifted map: 0 within a region, -100 across.

    Height and width are in tokens and whole multiples of the window.
    """
    region = torch.zeros(1, height, width, 1, device=device)
    spans = (slice(0, -window), slice(-window, -shift), slice(-shift, None))
    for number, (rows, columns) in enumerate((r, c) for r in spans for c in spans):
        region[:, rows, columns] = number
    region = window_partition(region, (window, window)).view(-1, window * window)
    return torch.where(region[:, None, :] == region[:, :, None], 0.0, _MASKED)


class SwinBlock(nn.Module):
    """Window attention and MLP, pre-norm; shifted by half a window in every second block."""

    def __init__(
        self, channels: int, heads: int, *, config: SwinConfig, shift: int, drop_path: float
    ) -> None:
        super().__init__()
        self.window, self.shift = config.window, shift
        self.norm1 = nn.LayerNorm(channels)
        self.attn = WindowAttention(channels, num_heads=heads, window_size=config.window)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = Mlp(channels, int(channels * config.mlp_ratio))
        self.drop_path = DropPath(drop_path) if drop_path > 0 else nn.Identity()

    def forward(
        self, x: Float[Tensor, "b h w c"], mask: Float[Tensor, "windows area area"] | None
    ) -> Float[Tensor, "b h w c"]:
        """Return the map after the block; `mask` is the one of `shift_mask`, used only by shifted blocks."""
        x = x + self.drop_path(self._attend(self.norm1(x), mask if self.shift else None))
        return x + self.drop_path(self.mlp(self.norm2(x)))

    def _attend(self, x: Tensor, mask: Tensor | None) -> Tensor:
        _, height, width, channels = x.shape
        x = F.pad(x, (0, 0, 0, -width % self.window, 0, -height % self.window))
        padded = x.shape[1:3]
        if self.shift:
            x = torch.roll(x, (-self.shift, -self.shift), dims=(1, 2))
        window = (self.window, self.window)
        windows = window_partition(x, window).view(-1, self.window**2, channels)
        windows = self.attn(windows, mask=mask).view(-1, *window, channels)
        x = window_reverse(windows, window, *padded)
        if self.shift:
            x = torch.roll(x, (self.shift, self.shift), dims=(1, 2))
        return x[:, :height, :width]


class SwinStage(nn.Module):
    """Optional 2x2 merging, then blocks."""

    def __init__(self, config: SwinConfig, index: int, *, drop_paths: Sequence[float]) -> None:
        super().__init__()
        channels, heads = config.channels[index], config.heads[index]
        self.window, self.shift = config.window, config.window // 2
        self.downsample = PatchMerging(channels // 2, channels) if index else nn.Identity()
        self.blocks = nn.ModuleList(
            SwinBlock(channels, heads, config=config, shift=self.shift * (i % 2), drop_path=drop_path)
            for i, drop_path in enumerate(drop_paths)
        )

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h2 w2 c2"]:
        """Return the stage's map, channels last."""
        x = self.downsample(x)
        height, width = (size + -size % self.window for size in x.shape[1:3])
        mask = None
        if self.shift and len(self.blocks) > 1:
            mask = shift_mask(height, width, window=self.window, shift=self.shift, device=x.device).to(
                x.dtype
            )
        for block in self.blocks:
            x = block(x, mask)
        return x


class SwinBackbone(nn.Module):
    """Swin Transformer that returns the normalised maps of all stages but the first."""

    def __init__(self, config: SwinConfig) -> None:
        super().__init__()
        self.config = config
        self.patch_embed = PatchEmbed(
            img_size=None, patch_size=4, embed_dim=config.embed_dim, norm_layer=nn.LayerNorm,
            flatten=False, output_fmt="NHWC", strict_img_size=False, dynamic_img_pad=True,
        )  # fmt: skip
        rates = [config.drop_path * i / (sum(config.depths) - 1) for i in range(sum(config.depths))]
        self.layers = nn.ModuleList(
            SwinStage(config, i, drop_paths=rates[sum(config.depths[:i]) :][:depth])
            for i, depth in enumerate(config.depths)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for channels in config.channels[1:])
        self.layers.apply(_init_linear)
        if config.pretrained is not None:
            self._load_pretrained(config.pretrained)
        for module in self._frozen():
            module.requires_grad_(requires_grad=False)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b _ _ _"]]:
        """Return the maps at 1/8, 1/16, ... of the image size (rounded up), channels first."""
        x = self.patch_embed(images)
        maps = []
        for i, layer in enumerate(self.layers):
            x = layer(x)
            if i:
                maps.append(self.norms[i - 1](x).permute(0, 3, 1, 2).contiguous())
        return maps

    def train(self, mode: bool = True) -> "SwinBackbone":
        """Switch to training mode; the frozen parts stay in eval mode."""
        super().train(mode)
        for module in self._frozen():
            module.eval()
        return self

    def _frozen(self) -> list[nn.Module]:
        count = self.config.frozen_stages
        if count < 0:
            return []
        stages = [stage for stage in self.layers if isinstance(stage, SwinStage)]
        # the merging in front of the first trained stage belongs to the frozen stage before it (mmdetection)
        merging = [stages[count].downsample] if 0 < count < len(stages) else []
        norms = list(self.norms)[: max(count - 1, 0)]
        return [self.patch_embed, *stages[:count], *merging, *norms]

    def _load_pretrained(self, source: str) -> None:
        found, own = read_swin_weights(source), self.state_dict()
        for name, value in own.items():
            if name not in found and name.startswith("norms."):
                continue  # classifiers have none: these start as they are
            if name not in found or found[name].shape != value.shape:
                got = f"shape {list(found[name].shape)}" if name in found else "nothing"
                raise ValueError(
                    f"SwinConfig.pretrained: {source} does not fit this configuration, first difference at "
                    f"{name}: expected shape {list(value.shape)}, got {got}; use the model's own embed_dim, "
                    "depths, heads and window"
                )
        self.load_state_dict({name: found[name] for name in own if name in found}, strict=False)


class TopDownNeck(nn.Module):
    """Merge every map with the enlarged next coarser one, from coarse to fine ("GeneralizedLSSFPN")."""

    def __init__(self, in_channels: Sequence[int], channels: int) -> None:
        super().__init__()
        coarser = [channels] * (len(in_channels) - 2) + [in_channels[-1]]
        self.laterals = nn.ModuleList(
            _conv_bn_relu(fine + coarse, channels, kernel=1)
            for fine, coarse in zip(in_channels, coarser, strict=False)
        )
        self.outputs = nn.ModuleList(_conv_bn_relu(channels, channels, kernel=3) for _ in self.laterals)

    def forward(self, maps: Sequence[Float[Tensor, "b _ _ _"]]) -> list[Float[Tensor, "b c _ _"]]:
        """Return one map fewer than given, finest first."""
        coarse, merged = maps[-1], []
        for fine, lateral, output in zip(maps[-2::-1], self.laterals[::-1], self.outputs[::-1], strict=True):
            enlarged = F.interpolate(coarse, size=fine.shape[-2:], mode="bilinear", align_corners=False)
            coarse = output(lateral(torch.cat([fine, enlarged], dim=1)))
            merged.append(coarse)
        return merged[::-1]


class ImageBackbone(nn.Module):
    """Images to the reduced feature map that the deformable attention reads.

    The published 1x1 reduction has padding 1, so that the map is one cell larger on every side than 1/8 of
    the image; resized to the padded image (`fusion_models.imagepg.deform_fusion`) it is therefore scaled
    about the centre by n / (n + 2). Kept, because the released weights were trained with it.
    """

    def __init__(self, config: ImageBackboneConfig | None = None) -> None:
        super().__init__()
        self.config = config or ImageBackboneConfig()
        self.swin = SwinBackbone(self.config.swin)
        self.neck = TopDownNeck(self.config.swin.channels[1:], self.config.neck_channels)
        self.reduce = _conv_bn_relu(
            self.config.neck_channels if len(self.config.swin.depths) > 2 else self.config.swin.channels[1],
            self.config.channels,
            kernel=1,
            padding=1,
        )

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c h8 w8"]:
        """Return the map of `ceil(h / 8) + 2` by `ceil(w / 8) + 2` cells.

        Args:
            images: RGB in 0..1 minus the ImageNet mean over its standard deviation, zero padded right and
                bottom.
        """
        maps = self.swin(images)
        return self.reduce(self.neck(maps)[0] if len(maps) > 1 else maps[0])


def _conv_bn_relu(cin: int, cout: int, *, kernel: int, padding: int | None = None) -> nn.Sequential:
    padding = kernel // 2 if padding is None else padding
    return nn.Sequential(
        nn.Conv2d(cin, cout, kernel, padding=padding, bias=False), nn.BatchNorm2d(cout), nn.ReLU(inplace=True)
    )


def _init_linear(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
