"""Points generated inside RoIs: transformer over the grid, image guidance, generator (PG-RCNN, ImagePG)."""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from geom3d import boxes as box_geometry
from jaxtyping import Float
from torch import Tensor, nn

from fusion_models.imagepg.deform_fusion import DeformAttnFusion, ImageView, project_to_pixels
from fusion_models.layers.rows import fully_connected, linear, two_layers

POSITION_CHANNELS = 27
"""Width of `roi_grid.positional_input`."""


@dataclass(frozen=True)
class GeneratorConfig:
    """Transformer and point generator. Defaults: imagepg.yaml."""

    heads: int = 4
    """Attention heads. Source: TRANSFORMER.ENCODER.NUM_HEADS."""
    hidden: int = 512
    """Hidden channels of the transformer's MLP. Source: TRANSFORMER.ENCODER.NUM_HIDDEN_FEATURES."""
    generator_fc: tuple[int, ...] = (256, 256)
    """Hidden widths of the generator. Source: GEN_FC."""
    feature: int = 64
    """Channels of the semantic feature of a point. Source: POINT_FEATURE_CONFIG.POINT_FEATURE_NUM."""
    embedding: tuple[int, int] = (64, 64)
    """Widths of the embedding of position, range and score. Source: POINT_FEATURE_CONFIG.XYZ_UP_LAYER."""
    range_scale_m: float = 70.0
    """The range of a point enters as `range / scale - 0.5`. Source: POINT_FEATURE_CONFIG.DEPTH_NORMALIZER."""

    def __post_init__(self) -> None:
        if min(self.heads, self.hidden, self.feature, *self.embedding) < 1 or self.range_scale_m <= 0:
            raise ValueError(f"GeneratorConfig: every number must be positive, got {self}")


class ImageGuidance(nn.Module):
    """Image features at the grid points; the query is their position in the RoI alone (IG-RPG)."""

    def __init__(self, channels: int, *, image_channels: int) -> None:
        super().__init__()
        self.query = two_layers(POSITION_CHANNELS, image_channels // 2, image_channels)
        self.fusion = DeformAttnFusion(image_channels)
        self.expand = two_layers(image_channels, channels // 2, channels)

    def forward(
        self, positions: Float[Tensor, "b m 27"], points: Float[Tensor, "b m 3"], view: ImageView
    ) -> Float[Tensor, "b m c"]:
        """Return the image feature of every grid point; points out of view enter the last layers as zeros.

        Under autocast the attention runs in the precision of the points: eight bits do not name a pixel.
        """
        queries = self.query(positions).to(points.dtype)
        with torch.autocast(points.device.type, enabled=False):
            pixels, inside = project_to_pixels(points, view)
            counts: list[int] = inside.sum(1).tolist()
            view = replace(view, values=view.values.to(points.dtype))
            mixed = self.fusion(queries[inside], pixels[inside], counts, view)
        return self.expand(torch.zeros_like(queries).masked_scatter(inside[..., None], mixed))


class GridTransformer(nn.Module):
    """One pre-norm transformer block over the grid points of a RoI, added to its input."""

    def __init__(self, channels: int, config: GeneratorConfig) -> None:
        super().__init__()
        if channels % config.heads:
            raise ValueError(
                f"GridTransformer: {config.heads} heads do not divide {channels} pooled channels; change "
                "GeneratorConfig.heads or VoxelPoolConfig.channels"
            )
        self.heads = config.heads
        self.position = two_layers(POSITION_CHANNELS, channels // 2, channels)
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels, bias=False)
        self.projection = nn.Linear(channels, channels)
        self.mlp = nn.Sequential(
            nn.Linear(channels, config.hidden), nn.GELU(), nn.Linear(config.hidden, channels)
        )
        for layer in (self.qkv, self.projection, self.mlp[0], self.mlp[2]):
            nn.init.xavier_uniform_(layer.get_parameter("weight"))

    def forward(
        self, features: Float[Tensor, "n g c"], positions: Float[Tensor, "n g 27"]
    ) -> Float[Tensor, "n g c"]:
        """Return the block applied to features plus position embedding, plus the features."""
        x = features + self.position(positions)
        x = x + self._attend(self.norm1(x))
        return x + self.mlp(self.norm2(x)) + features

    def _attend(self, x: Tensor) -> Tensor:
        rois, count, channels = x.shape
        query, key, value = (
            self.qkv(x).view(rois, count, 3, self.heads, channels // self.heads).permute(2, 0, 3, 1, 4)
        )
        attended = F.scaled_dot_product_attention(query, key, value)
        return self.projection(attended.transpose(1, 2).reshape(rois, count, channels))


class PointGenerator(nn.Module):
    """One point per grid point: offset, semantic feature and foreground logit; then the point's embedding."""

    def __init__(self, channels: int, config: GeneratorConfig, *, dropout: float) -> None:
        super().__init__()
        self.config = config
        width = config.generator_fc[-1] if config.generator_fc else channels
        self.hidden = fully_connected(channels, config.generator_fc, dropout=dropout)
        self.generate = linear(width, 3 + config.feature)
        self.foreground = nn.Linear(config.feature, 1)
        first, last = config.embedding
        self.embed = nn.Sequential(
            linear(5, first), nn.ReLU(inplace=True), linear(first, last), nn.ReLU(inplace=True)
        )
        self.merge = nn.Sequential(linear(last + config.feature, last), nn.ReLU(inplace=True))
        nn.init.normal_(self.foreground.weight, std=0.01)
        nn.init.zeros_(self.foreground.bias)

    def forward(
        self, features: Float[Tensor, "n g c"], grid: Float[Tensor, "n g 3"]
    ) -> tuple[Float[Tensor, "n g 3"], Float[Tensor, "n g f"], Float[Tensor, "n g"]]:
        """Return points, semantic features and foreground logits.

        A point is its grid point plus an unbounded offset in metres along the axes of the frame, not of the
        RoI. All three have the precision of the grid, also under autocast.
        """
        hidden = self.hidden(features).to(grid.dtype)
        with torch.autocast(grid.device.type, enabled=False):
            generated = self.generate(hidden)
            semantic = generated[..., 3:]
            return grid + generated[..., :3], semantic, self.foreground(semantic)[..., 0]

    def encode(
        self,
        points: Float[Tensor, "n g 3"],
        semantic: Float[Tensor, "n g f"],
        logits: Float[Tensor, "n g"],
        rois: Float[Tensor, "n 7"],
    ) -> tuple[Float[Tensor, "n g 3"], Float[Tensor, "n g e"]]:
        """Return the points in the frames of their RoIs, and one feature per point.

        The feature joins the semantic one with an embedding of RoI-frame position, range and probability; no
        gradient flows through these five, but it does through the returned positions.
        """
        local = box_geometry.to_canonical(points, rois)
        with torch.no_grad():
            distance = (
                torch.linalg.vector_norm(points, dim=-1, keepdim=True) / self.config.range_scale_m - 0.5
            )
            geometry = torch.cat([local, distance, logits.sigmoid()[..., None]], dim=2)
        return local, self.merge(torch.cat([self.embed(geometry), semantic], dim=2))
