"""Pooling of sparse voxel features at points (Voxel R-CNN, arXiv 2012.15712; `NeighborVoxelSAModuleMSG`)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from sparseops import SparseTensor, voxel_query
from torch import Tensor, nn

from fusion_models.layers.rows import RowBatchNorm, linear

_CHUNK_ROWS = 1 << 14
"""Query points that are aggregated at once; bounds the memory of the search for the maximum."""


@dataclass(frozen=True)
class VoxelPoolConfig:
    """One source of voxel features. Defaults: imagepg.yaml, ROI_HEAD.ROI_GRID_POOL.POOL_LAYERS.x_conv2."""

    source: str = "x_conv2"
    """Name of the sparse tensor."""
    stride: int = 2
    """Edge of its voxels in input voxels."""
    hidden: int = 64
    """Channels at which the maximum is taken. Source: MLPS [[64, 64]], first."""
    channels: int = 64
    """Channels out. Source: MLPS, second."""
    radius_m: float = 0.4
    """Largest distance of a voxel centre from the point, inclusive. Source: POOL_RADIUS."""
    samples: int = 16
    """Voxels used per point. Source: NSAMPLE."""
    ranges_zyx: tuple[int, int, int] = (4, 4, 4)
    """Cells searched to either side of the point's own. Source: QUERY_RANGES."""

    def __post_init__(self) -> None:
        if min(self.stride, self.hidden, self.channels, self.samples) < 1 or self.radius_m <= 0:
            raise ValueError(
                f"VoxelPoolConfig {self.source}: stride, hidden, channels, samples and radius_m must be "
                f"positive, got {self}"
            )


def voxel_pools(channels: int) -> tuple[VoxelPoolConfig, ...]:
    """Return the three sources of Voxel R-CNN and its successors, all of this width."""
    return tuple(
        VoxelPoolConfig(source=source, stride=stride, radius_m=radius_m, hidden=channels, channels=channels)
        for source, stride, radius_m in (("x_conv2", 2, 0.4), ("x_conv3", 4, 0.8), ("x_conv4", 8, 1.6))
    )


class VoxelPool(nn.Module):
    """Maximum over nearby voxels of projected feature plus projected relative position.

    `out = ReLU(BN(W_out max_s ReLU(BN(W_in f_s) + BN(W_pos (x_s - p)))))`. A point without a voxel in reach
    gets feature and position 0, hence a constant that is not 0; such points take part in the batch
    statistics. Both are properties of the published layer.

    The batch norm of the positions is computed from mean and covariance of the relative positions, and only
    the selected voxel of each point and channel enters the gradient: equal to the plain form within rounding,
    at a sixteenth of its memory.
    """

    def __init__(
        self,
        config: VoxelPoolConfig,
        *,
        in_channels: int,
        voxel_size: Sequence[float],
        lower_bounds: Sequence[float],
    ) -> None:
        """Build the layer.

        Args:
            voxel_size: Edges x y z of the input voxels in metres (stride 1).
            lower_bounds: Corner x y z of the voxel grid in metres.
        """
        super().__init__()
        self.config = config
        self.register_buffer("voxel_size", torch.tensor(list(voxel_size)), persistent=False)
        self.register_buffer("lower_bounds", torch.tensor(list(lower_bounds)), persistent=False)
        self.voxel_size: Tensor
        self.lower_bounds: Tensor
        hidden, channels = config.hidden, config.channels
        self.feature = nn.Sequential(linear(in_channels, hidden, bias=False), RowBatchNorm(hidden))
        self.position = linear(3, hidden, bias=False)
        self.position_norm = RowBatchNorm(hidden)
        self.output = nn.Sequential(
            linear(hidden, channels, bias=False), RowBatchNorm(channels), nn.ReLU(inplace=True)
        )

    def forward(self, points: Float[Tensor, "b m 3"], voxels: SparseTensor) -> Float[Tensor, "b m c"]:
        """Return the pooled features of the points; a point sees the voxels of its own frame only.

        The cell of a point is the quotient of its offset from `lower_bounds` by the voxel size, rounded
        towards zero after division by the stride, so that points up to one cell below the grid belong to cell
        0.
        """
        batch, count, _ = points.shape
        flat = points.reshape(-1, 3)
        cells = torch.div(
            (flat - self.lower_bounds) / self.voxel_size, self.config.stride, rounding_mode="trunc"
        )
        frame = torch.arange(batch, device=points.device).repeat_interleave(count)
        cells_bzyx = torch.cat([frame[:, None], cells.flip(1).long()], dim=1).int()
        centres = (
            voxels.coords[:, 1:].flip(1) + 0.5
        ) * self.voxel_size * self.config.stride + self.lower_bounds
        index, empty = voxel_query(
            cells_bzyx,
            flat,
            voxels.coords,
            centres,
            max_range=self.config.ranges_zyx,
            radius=self.config.radius_m,
            num_samples=self.config.samples,
        )
        return self.aggregate(voxels.features, centres, flat, index, empty).unflatten(0, (batch, count))

    def aggregate(
        self,
        features: Float[Tensor, "n cin"],
        centres: Float[Tensor, "n 3"],
        points: Float[Tensor, "m 3"],
        index: Int[Tensor, "m s"],
        empty: Bool[Tensor, " m"],
    ) -> Float[Tensor, "m c"]:
        """Return the pooled features for given neighbours; rows marked empty ignore their indices.

        Under autocast only the two linear layers on features run in lower precision.
        """
        projected = F.pad(self.feature(features).to(points.dtype), (0, 0, 0, 1))
        index = index.long().masked_fill(empty[:, None], len(features))
        with torch.no_grad():
            relative = F.pad(centres, (0, 0, 0, 1))[index] - points[:, None]
            relative.masked_fill_(empty[:, None, None], 0.0)
        with torch.autocast(points.device.type, enabled=False):
            weight, bias = self._position_affine(relative)
            chosen = _argmax_of_sum(projected.detach(), relative, index, weight.detach())
        value = projected.gather(0, index.gather(1, chosen))
        offset = relative.gather(1, chosen[..., None].expand(-1, -1, 3))
        return self.output(F.relu(value + (offset * weight).sum(-1) + bias))

    def _position_affine(self, relative: Tensor) -> tuple[Tensor, Tensor]:
        """Weight [c, 3] and bias [c] of `BN(W relative)`; updates the running statistics in training."""
        weight, norm = self.position.weight, self.position_norm
        rows = relative.view(-1, 3)
        if self.position_norm.training and len(rows) > 1:
            # three columns, so double precision costs nothing; the sum over samples would lose digits
            exact = rows.double()
            centre = exact.mean(0)
            covariance = (exact.T @ exact) / len(rows) - centre.outer(centre)
            mean = weight @ centre.to(weight.dtype)
            variance = ((weight @ covariance.to(weight.dtype)) * weight).sum(1)
            norm.update_running(mean.detach(), variance.detach() * (len(rows) / (len(rows) - 1)))
        else:
            mean, variance = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
        scale = norm.weight * torch.rsqrt(variance + norm.eps)
        return weight * scale[:, None], norm.bias - mean * scale


@torch.no_grad()
def _argmax_of_sum(projected: Tensor, relative: Tensor, index: Tensor, weight: Tensor) -> Tensor:
    """Sample [m, c] at which feature plus position is largest; the first of equals."""
    chosen = []
    for rows, offsets in zip(index.split(_CHUNK_ROWS), relative.split(_CHUNK_ROWS), strict=True):
        total = projected.index_select(0, rows.flatten())
        total.addmm_(offsets.reshape(-1, 3), weight.T)
        chosen.append(total.view(*rows.shape, len(weight)).argmax(1))
    return torch.cat(chosen) if chosen else index.new_zeros(0, len(weight))
