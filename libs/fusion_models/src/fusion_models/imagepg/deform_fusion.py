"""Deformable attention from points to the image (ImagePG, arXiv 2409.14985; light `DeformAttnFusion`).

The attention is that of Deformable DETR (Zhu et al., arXiv 2010.04159) with one level, four heads and four
samples. ImagePG uses it twice: for grid points of RoIs and for pillars.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Num
from sparseops import TensorFields, ms_deform_attn
from torch import Tensor, nn

from fusion_models.layers.rows import RowBatchNorm


@dataclass(frozen=True, slots=True)
class ImageView(TensorFields):
    """Attention values of a batch of images and the projection of points into them."""

    values: Float[Tensor, "b s heads d"]
    """One value per pixel of the padded image, row by row."""
    height: int
    """Of the padded images, in pixels."""
    width: int
    """Of the padded images, in pixels."""
    image_from_points: Float[Tensor, "b 3 4"]
    """Projection whose first two rows are divided by the third, which gives the depth."""

    def __post_init__(self) -> None:
        if self.values.shape[1] != self.height * self.width:
            raise ValueError(
                f"ImageView.values has {self.values.shape[1]} rows per image, expected height * width = "
                f"{self.height * self.width}; build the view with DeformAttnFusion.view"
            )

    def seen_from(self, points_from_other: Float[Tensor, "b 4 4"]) -> "ImageView":
        """Return the same view for points given in another frame (a transformed copy of the cloud)."""
        return ImageView(
            values=self.values,
            height=self.height,
            width=self.width,
            image_from_points=self.image_from_points @ points_from_other,
        )


def project_to_pixels(
    points: Float[Tensor, "b m 3"], view: ImageView
) -> tuple[Int[Tensor, "b m 2"], Bool[Tensor, "b m"]]:
    """Return the pixels of equally many points per image; rules as in `project_rows`."""
    batch, count, _ = points.shape
    frame = torch.arange(batch, device=points.device).repeat_interleave(count)
    pixels, inside = project_rows(points.reshape(-1, 3), frame, view)
    return pixels.view(batch, count, 2), inside.view(batch, count)


@torch.no_grad()
def project_rows(
    points: Float[Tensor, "n 3"], frame: Int[Tensor, " n"], view: ImageView
) -> tuple[Int[Tensor, "n 2"], Bool[Tensor, " n"]]:
    """Return the pixel (u, v) of every point, and whether it is in the padded image and before the camera.

    The test is `0 <= u < width`, `0 <= v < height`, `depth >= 0` on the unrounded values; pixels are rounded
    towards zero, and 0 where the test fails. No gradient.

    Args:
        frame: Image of each point.
    """
    matrix = view.image_from_points[frame]
    projected = (matrix[:, :, :3] * points[:, None]).sum(-1) + matrix[:, :, 3]
    depth = projected[:, 2]
    uv = projected[:, :2] / depth[:, None]
    size = uv.new_tensor([view.width, view.height])
    inside = ((uv >= 0) & (uv < size)).all(-1) & (depth >= 0)
    return torch.where(inside[:, None], uv, 0.0).long(), inside


class DeformAttnFusion(nn.Module):
    """Mix features of points with the image around the pixels they project to.

    `out = ReLU(BN(W [ReLU(BN(W_t q)), ReLU(attention(BN(W_k q)))]))`.
    """

    def __init__(self, channels: int = 64, *, heads: int = 4, samples: int = 4) -> None:
        """Build the block.

        Args:
            channels: Channels of queries and image map. Source: imagepg.yaml, IMG_FEATURES.
            heads: Attention heads; must divide channels. Source: released code.
            samples: Sampling points per head. Source: released code.

        Raises:
            ValueError: heads does not divide channels.
        """
        super().__init__()
        if channels % heads:
            raise ValueError(f"DeformAttnFusion: heads must divide channels, got {heads} and {channels}")
        self.channels, self.heads, self.samples = channels, heads, samples
        self.key = nn.Sequential(nn.Linear(channels, channels), _norm(channels))
        self.query = nn.Sequential(nn.Linear(channels, channels), _norm(channels))
        self.offsets = nn.Linear(channels, heads * samples * 2)
        self.weights = nn.Linear(channels, heads * samples)
        self.value = nn.Linear(channels, channels)
        self.output = nn.Linear(channels, channels)
        self.fuse = nn.Sequential(nn.Linear(2 * channels, channels), _norm(channels), nn.ReLU(inplace=True))
        self._init_attention()

    def view(
        self,
        image_map: Float[Tensor, "b c h8 w8"],
        image_from_points: Float[Tensor, "b 3 4"],
        *,
        size: tuple[int, int],
    ) -> ImageView:
        """Return the attention values at every pixel of the padded image of `size` (height, width).

        The published order is resize, then project. A linear map commutes with bilinear interpolation (its
        weights sum to one), so it is applied to the small map here. Compute the view once and share it
        between stages.
        """
        height, width = size
        values = self.value(image_map.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        values = F.interpolate(values, size=size, mode="bilinear", align_corners=False)
        values = values.permute(0, 2, 3, 1).reshape(len(values), height * width, self.heads, -1)
        return ImageView(values=values, height=height, width=width, image_from_points=image_from_points)

    def forward(
        self, queries: Float[Tensor, "n c"], pixels: Int[Tensor, "n 2"], counts: list[int], view: ImageView
    ) -> Float[Tensor, "n c"]:
        """Return the mixed features.

        Batch statistics are those of all rows together. Fewer than two rows are returned unchanged.

        Args:
            queries: Features of the points in view, image by image.
            pixels: Column u and row v of each.
            counts: Rows per image, in the order of the images; their sum is n.
        """
        if len(queries) < 2:
            return self._unchanged(queries, view)
        attended = self.attend(self.key(queries), pixels, counts, view)
        return self.fuse(torch.relu_(torch.cat([self.query(queries), attended], dim=1)))

    def attend(
        self, keys: Float[Tensor, "n c"], pixels: Num[Tensor, "n 2"], counts: list[int], view: ImageView
    ) -> Float[Tensor, "n c"]:
        """Return the deformable attention to the image around the pixels; arguments as in `forward`."""
        locations, weights = self.sampling(keys, pixels)
        locations = locations[:, :, None] / keys.new_tensor([view.width, view.height])
        weights = weights[:, :, None]
        shape = [(view.height, view.width)]
        attended = [
            ms_deform_attn(value[None], shape, location[None], weight[None])[0]
            for value, location, weight in zip(
                view.values, locations.split(counts), weights.split(counts), strict=True
            )
        ]
        return self.output(torch.cat(attended))

    def sampling(
        self, keys: Float[Tensor, "n c"], pixels: Num[Tensor, "n 2"]
    ) -> tuple[Float[Tensor, "n heads samples 2"], Float[Tensor, "n heads samples"]]:
        """Return where each head looks and how much each place counts.

        Args:
            keys: As in `attend`.
            pixels: Column u and row v that the places are relative to.

        Returns:
            The places (u, v) in pixels, where the centre of pixel (i, j) is (i + 0.5, j + 0.5); they may lie
            outside the image, where every value is 0. The weights, which sum to 1 over the samples of a head.
        """
        offsets = self.offsets(keys).view(-1, self.heads, self.samples, 2)
        weights = self.weights(keys).view(-1, self.heads, self.samples).softmax(-1)
        return pixels[:, None, None] + offsets, weights

    def _unchanged(self, queries: Tensor, view: ImageView) -> Tensor:
        """Return the queries; in training with a gradient of zero for everything that was not used.

        Data-parallel training waits for the gradient of every parameter on every rank.
        """
        if not torch.is_grad_enabled():
            return queries
        unused = [*self.parameters(), view.values]
        return queries + 0.0 * torch.stack([tensor.sum() for tensor in unused]).sum()

    def _init_attention(self) -> None:
        """Start the heads in directions on a ring, the samples 1, 2, ... pixels away (Deformable DETR)."""
        angle = torch.arange(self.heads) * (2 * math.pi / self.heads)
        direction = torch.stack([angle.cos(), angle.sin()], dim=1)
        direction = direction / direction.abs().amax(1, keepdim=True)
        ring = direction[:, None] * torch.arange(1, self.samples + 1)[:, None]
        with torch.no_grad():
            self.offsets.bias.copy_(ring.flatten())
        nn.init.zeros_(self.offsets.weight)
        nn.init.zeros_(self.weights.weight)
        nn.init.zeros_(self.weights.bias)
        for layer in (self.value, self.output):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)


def _norm(channels: int) -> RowBatchNorm:
    """Batch norm with the settings of the released block."""
    return RowBatchNorm(channels, eps=1e-3, momentum=0.01)
