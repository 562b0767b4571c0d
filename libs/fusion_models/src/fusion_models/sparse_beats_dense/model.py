"""Sparse Beats Dense: from a camera image and one sweep of automotive radar to dense metric depth.

Paper: Sparse Beats Dense (ECCV 2024, arXiv 2312.00844). Numbers follow the released `model.py`, commit
8b87d53, and so do the names of the weights. Where the released model fails or is undefined, ours differs:
without radar points the point embedding is zero (not NaN), and where several radar or label pixels fall into
one cell the last in row-major order counts on every device.

`SparseBeatsDense.forward` reads from top to bottom as the data flows: padding, embedding of the radar points,
then one U-Net after the other from coarse to fine, each with a depth and a mask decoder. `predict` computes
only what the depth of the finest needs. Camera frame: x right, y down, z forward; depth is z in metres.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from sparseops import TensorFields, downsample_sparse_map
from torch import Tensor, nn

from fusion_models.sparse_beats_dense.batch import DepthBatch

DEPTH, MASK = "", "valid_"
"""Prefixes of the layers of the two decoders."""


@dataclass(frozen=True)
class SparseBeatsDenseConfig:
    """The model; the defaults are the published ones, leaving parts out gives the ablations."""

    base_width: int = 32
    """Channels of the encoder, counted as a half of the second stage; all widths scale with it, but none
    falls below 8. A multiple of 4. Source: model.py, whose stages have 64 to 1024."""
    levels: int = 3
    """U-Nets in a row, each at twice the resolution of the one before, the last at full size. Source:
    model.py, G1 to G3."""
    mask_decoder: bool = True
    """A second decoder per level finds what radar can hit. It only shapes the encoder: no depth depends on
    it. Source: model.py, layers valid_*."""
    position_injection: bool = True
    """The mean embedding of the radar points is added to what a level hands to the next. Source: model.py,
    calibrated_params_encoder."""
    max_points: int = 200
    """Radar points per frame, for `collate_depth`; the model takes any number. Source: dataset.py."""

    def __post_init__(self) -> None:
        if self.base_width < 4 or self.base_width % 4:
            raise ValueError(
                f"SparseBeatsDenseConfig.base_width must be a positive multiple of 4, got {self.base_width}"
            )
        if self.levels < 1 or self.max_points < 1:
            raise ValueError(
                "SparseBeatsDenseConfig: levels and max_points must be at least 1, "
                f"got {self.levels} and {self.max_points}"
            )

    @property
    def factors(self) -> tuple[int, ...]:
        """By how much each level is coarser than the image, coarsest first."""
        return tuple(2**level for level in reversed(range(self.levels)))

    @property
    def padding_multiple(self) -> int:
        """Sides of the padded canvas are multiples of this: the coarsest level is halved six times."""
        return 64 * self.factors[0]


class ConvNorm(nn.Module):
    """Convolution with bias, batch normalisation, and ReLU unless switched off; size kept at stride 1."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int | tuple[int, int] = 3,
        *,
        stride: int = 1,
        groups: int = 1,
        relu: bool = True,
    ) -> None:
        super().__init__()
        kernel = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (kernel[0] // 2, kernel[1] // 2)
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding, groups=groups)
        self.bn: nn.Module = nn.BatchNorm2d(out_channels)
        self.relu = relu

    def forward(self, x: Float[Tensor, "b i h w"]) -> Float[Tensor, "b o h2 w2"]:
        """Return the convolved maps."""
        x = self.bn(self.conv(x))
        return F.relu(x, inplace=True) if self.relu else x


class DeconvNorm(nn.Module):
    """Transposed convolution to twice the size, then batch normalisation unless switched off."""

    def __init__(self, in_channels: int, out_channels: int, *, norm: bool = True) -> None:
        super().__init__()
        self.deconv = nn.ConvTranspose2d(in_channels, out_channels, kernel_size=2, stride=2)
        self.bn: nn.Module = nn.BatchNorm2d(out_channels) if norm else nn.Identity()

    def forward(self, x: Float[Tensor, "b i h w"]) -> Float[Tensor, "b o h2 w2"]:
        """Return the enlarged maps."""
        return self.bn(self.deconv(x))


class ResNeXtBlock(nn.Module):
    """Bottleneck with a grouped convolution; the first of a stage halves the size and projects its input."""

    def __init__(self, in_channels: int, out_channels: int, *, groups: int, first: bool) -> None:
        super().__init__()
        middle = out_channels // 4
        self.conv_1x1_shrink = ConvNorm(in_channels, middle, 1)
        self.conv_3x3 = ConvNorm(middle, middle, stride=2 if first else 1, groups=groups)
        self.conv_1x1_expand = ConvNorm(middle, out_channels, 1, relu=False)
        self.shortcut = ConvNorm(in_channels, out_channels, 1, relu=False) if first else None

    def forward(self, x: Float[Tensor, "b i h w"]) -> Float[Tensor, "b o h2 w2"]:
        """Return the maps of the block."""
        out = self.conv_1x1_expand(self.conv_3x3(self.conv_1x1_shrink(x)))
        if self.shortcut is not None:
            x = self.shortcut(F.avg_pool2d(x, 2))
        out += x
        return F.relu(out, inplace=True)


class CrossBlock(nn.Module):
    """Two branches of a flat and an upright kernel in either order, summed; conv_block in model.py."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        flat, upright = (1, 3), (3, 1)
        self.conv00 = ConvNorm(in_channels, out_channels, flat)
        self.conv01 = ConvNorm(out_channels, out_channels, upright, relu=False)
        self.conv10 = ConvNorm(in_channels, out_channels, upright)
        self.conv11 = ConvNorm(out_channels, out_channels, flat, relu=False)

    def forward(self, x: Float[Tensor, "b i h w"]) -> Float[Tensor, "b o h w"]:
        """Return the sum of both branches."""
        out = self.conv01(self.conv00(x))
        out += self.conv11(self.conv10(x))
        return out


class RefineBlock(nn.Module):
    """Two convolutions around which the input is led; no ReLU after the sum."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.refine0 = ConvNorm(channels, channels)
        self.refine1 = ConvNorm(channels, channels, relu=False)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return the refined maps."""
        out = self.refine1(self.refine0(x))
        out += x
        return out


class Encoder(nn.Module):
    """ResNeXt that returns six maps, at 1/64 to 1/2 of its input; the first also holds the others, pooled."""

    STAGES = (("g03", 3, 2), ("g3", 4, 2), ("g4", 7, 4), ("g5", 7, 8), ("g6", 7, 8))
    """Name, blocks, groups. Source: model.py."""

    def __init__(self, in_channels: int, base_width: int) -> None:
        super().__init__()
        widths = [max(8, base_width // 2), *(base_width * 2 ** (i + 1) for i in range(len(self.STAGES)))]
        self.conv00 = ConvNorm(in_channels, widths[0], stride=2)
        for (stage, blocks, groups), before, width in zip(self.STAGES, widths, widths[1:], strict=False):
            for i in range(blocks):
                block = ResNeXtBlock(before if i == 0 else width, width, groups=groups, first=i == 0)
                self.add_module(f"{stage}_{i}", block)
        self.out_channels = (sum(widths), *widths[-2::-1])
        """Of the returned maps."""

    def forward(self, x: Float[Tensor, "b i h w"]) -> tuple[Float[Tensor, "b _ _ _"], ...]:
        """Return the maps, coarsest first."""
        x = self.conv00(x)
        maps = [x]
        for stage, blocks, _ in self.STAGES:
            for i in range(blocks):
                x = getattr(self, f"{stage}_{i}")(x)
            maps.append(x)
        finer = maps[:-1]
        pooled = [F.avg_pool2d(y, 2 ** (len(finer) - i)) for i, y in enumerate(finer)]
        return (torch.cat([*pooled, x], dim=1), *reversed(finer))


class UNet(nn.Module):
    """One level: an encoder, and a decoder each for depth and, if wanted, for the mask.

    A decoder has six steps, one per map of the encoder. Five make the features that the next level gets, at
    half the size of the input; the last makes the map itself.
    """

    def __init__(self, in_channels: int, config: SparseBeatsDenseConfig) -> None:
        super().__init__()
        self.encoder = Encoder(in_channels, config.base_width)
        wide, middle, narrow = (max(8, width * config.base_width // 32) for width in (128, 64, 16))
        inner = (wide, wide, middle, narrow, 8, 8)
        outer = (wide, middle, narrow, 8, 8, 1)
        for branch in (DEPTH, MASK) if config.mask_decoder else (DEPTH,):
            for i, (skip, width, out) in enumerate(zip(self.encoder.out_channels, inner, outer, strict=True)):
                score = CrossBlock(skip, width) if i < 3 else ConvNorm(skip, width, relu=False)
                self.add_module(f"{branch}score{i}", score)
                self.add_module(f"{branch}refine{i}", RefineBlock(width))
                self.add_module(f"{branch}resize{i}", DeconvNorm(width, out, norm=i < 5))

    def features(self, maps: tuple[Tensor, ...], branch: str) -> Float[Tensor, "b 8 h2 w2"]:
        """Return the features of a decoder, at half the size of the level's input."""
        x = None
        for i, skip in enumerate(maps[:-1]):
            x = self._step(i, skip, x, branch)
            x = getattr(self, f"{branch}resize{i}")(x)
        assert x is not None
        return x

    def finish(
        self, maps: tuple[Tensor, ...], features: Float[Tensor, "b 8 h2 w2"], branch: str
    ) -> Float[Tensor, "b 1 h w"]:
        """Return the map of a decoder in single precision, also under autocast, which would round metres."""
        x = self._step(len(maps) - 1, maps[-1], features, branch)
        with torch.autocast(x.device.type, enabled=False):
            resize = getattr(self, f"{branch}resize{len(maps) - 1}")
            return resize(x.to(resize.deconv.weight.dtype))

    def _step(self, i: int, skip: Tensor, before: Tensor | None, branch: str) -> Tensor:
        x = getattr(self, f"{branch}score{i}")(skip)
        if before is not None:
            x += before
        return getattr(self, f"{branch}refine{i}")(x)


class PointLayer(nn.Module):
    """Linear layer and LeakyReLU."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.fully_connected = nn.Linear(in_features, out_features)

    def forward(self, x: Float[Tensor, "b p i"]) -> Float[Tensor, "b p o"]:
        """Return the features of every point."""
        return F.leaky_relu(self.fully_connected(x), 0.1)


class PointEmbedding(nn.Module):
    """Mean of an embedding of the radar points; the last layer has its LeakyReLU, too."""

    WIDTHS = (3, 32, 64, 96, 64, 32, 8)
    """Source: model.py."""

    def __init__(self) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            *(PointLayer(i, o) for i, o in zip(self.WIDTHS, self.WIDTHS[1:], strict=False))
        )

    def forward(self, points: Float[Tensor, "b p 3"], counts: Int[Tensor, " b"]) -> Float[Tensor, "b 8"]:
        """Return the mean over the first `counts` points, zero where there are none; in single precision.

        Args:
            points: Metres, camera frame.
        """
        with torch.autocast(points.device.type, enabled=False):
            embedded = self.mlp(points)
        counts = counts.clamp(max=points.shape[1])[:, None]
        present = torch.arange(points.shape[1], device=points.device) < counts
        return embedded.where(present[..., None], 0).sum(1) / counts.clamp(min=1)


@dataclass(frozen=True, slots=True)
class DepthOutputs(TensorFields):
    """What every level finds, coarsest first. All on the padded canvas or its down-sampled size."""

    depths: tuple[Float[Tensor, "b 1 _ _"], ...]
    """Metres, at least 0."""
    mask_logits: tuple[Float[Tensor, "b 1 _ _"], ...] | None
    """Of the probability that radar can hit what the pixel shows; None without mask decoder."""
    size: tuple[int, int]
    """Height and width of the images before padding."""

    @property
    def depth(self) -> Float[Tensor, "b 1 h w"]:
        """The result: the finest depth in the size of the images."""
        return self.depths[-1][:, :, : self.size[0], : self.size[1]]


class SparseBeatsDense(nn.Module):
    """The model of a configuration; its weights have the names of the authors' `model.ckpt`.

    `forward` gives all levels for the losses (`sparse_beats_dense_losses.depth_completion_loss`), `predict`
    the depth alone. Under DistributedDataParallel call the wrapper, so that gradients are averaged.

    Example:
        >>> model = SparseBeatsDense(SparseBeatsDenseConfig(base_width=8)).eval()
        >>> image, radar = torch.zeros(1, 3, 90, 160), torch.zeros(1, 1, 90, 160)
        >>> model.predict(image, radar, torch.zeros(1, 200, 3), torch.tensor([0])).shape
        torch.Size([1, 1, 90, 160])
    """

    def __init__(self, config: SparseBeatsDenseConfig) -> None:
        super().__init__()
        self.config = config
        for level in range(config.levels):
            self.add_module(f"G{level + 1}", UNet(4 if level == 0 else 12, config))
        self.calibrated_params_encoder = PointEmbedding() if config.position_injection else None

    def forward(self, batch: DepthBatch) -> DepthOutputs:
        """Return depth and mask of every level."""
        image, radar = self._padded(batch.image), self._padded(batch.radar)
        embedding = self._embedding(batch.points, batch.counts)
        depths, logits, features = [], [], None
        for unet, factor in self._levels():
            maps = unet.encoder(_level_input(image, radar, factor, features))
            fine = unet.features(maps, DEPTH)
            depths.append(F.relu(unet.finish(maps, fine, DEPTH)))
            if self.config.mask_decoder:
                logits.append(unet.finish(maps, unet.features(maps, MASK), MASK))
            features = fine + embedding
        height, width = batch.image.shape[2:]
        return DepthOutputs(tuple(depths), tuple(logits) if logits else None, (height, width))

    @torch.no_grad()
    def predict(
        self,
        image: Float[Tensor, "b 3 h w"],
        radar: Float[Tensor, "b 1 h w"],
        points: Float[Tensor, "b p 3"],
        counts: Int[Tensor, " b"],
    ) -> Float[Tensor, "b 1 h w"]:
        """Return the depth in metres, to the last bit that of `forward(batch).depth`, for 0.7 of the work.

        No mask decoder is run, and no last step of a level but the finest. Arguments as in `DepthBatch`.

        Raises:
            ValueError: The model is in training mode.
        """
        if self.training:
            raise ValueError("SparseBeatsDense.predict: the model is in training mode; call .eval() first")
        height, width = image.shape[2:]
        image, radar = self._padded(image), self._padded(radar)
        embedding, features = self._embedding(points, counts), None
        *coarse, (finest, _) = self._levels()
        for unet, factor in coarse:
            maps = unet.encoder(_level_input(image, radar, factor, features))
            features = unet.features(maps, DEPTH) + embedding
        maps = finest.encoder(_level_input(image, radar, 1, features))
        depth = finest.finish(maps, finest.features(maps, DEPTH), DEPTH)
        return F.relu(depth)[:, :, :height, :width]

    def _levels(self) -> Iterator[tuple[UNet, int]]:
        for level, factor in enumerate(self.config.factors):
            yield getattr(self, f"G{level + 1}"), factor

    def _padded(self, x: Tensor) -> Tensor:
        """Return maps with zeros on the right and at the bottom; also full multiples grow, as published."""
        multiple = self.config.padding_multiple
        down, right = (multiple - side % multiple for side in x.shape[2:])
        return F.pad(x, (0, right, 0, down))

    def _embedding(self, points: Tensor, counts: Tensor) -> Tensor:
        if self.calibrated_params_encoder is None:
            return points.new_zeros(())
        return self.calibrated_params_encoder(points, counts)[:, :, None, None]


def _level_input(
    image: Float[Tensor, "b 3 h w"], radar: Float[Tensor, "b 1 h w"], factor: int, features: Tensor | None
) -> Tensor:
    """Return image, radar and the features of the level before (a quarter of this size) as channels."""
    if factor > 1:
        size = (image.shape[2] // factor, image.shape[3] // factor)
        image = F.interpolate(image, size=size, mode="bilinear")
    parts = [image, downsample_sparse_map(radar, factor)]
    if features is not None:
        parts.append(F.interpolate(features, scale_factor=4.0, mode="bilinear"))
    return torch.cat(parts, dim=1)
