"""Set abstraction of PointNet++ (Qi et al., arXiv 1706.02413), on many small clouds at once."""

from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from sparseops import ball_query, furthest_point_sample
from torch import Tensor, nn

from fusion_models.layers.rows import RowBatchNorm, linear


@dataclass(frozen=True)
class SetAbstractionConfig:
    """One level; with `points` None the whole cloud is one group around the origin of its coordinates."""

    points: int | None
    """Centres chosen by furthest point sampling, starting at point 0. Source: SA_CONFIG.NPOINTS (-1 =
    all)."""
    channels: tuple[int, ...]
    """Widths of the shared MLP. Source: SA_CONFIG.MLPS."""
    radius_m: float = 0.4
    """Radius of a group, exclusive; unused when `points` is None. Source: SA_CONFIG.RADIUS."""
    samples: int = 16
    """Members of a group, the first in index order, padded with the first. Source: SA_CONFIG.NSAMPLE."""

    def __post_init__(self) -> None:
        if (self.points is not None and self.points < 1) or self.radius_m <= 0 or self.samples < 1:
            raise ValueError(
                f"SetAbstractionConfig: points, radius_m and samples must be positive, got {self.points}, "
                f"{self.radius_m}, {self.samples}"
            )
        if not self.channels:
            raise ValueError("SetAbstractionConfig.channels is empty; give at least one width")


class SetAbstraction(nn.Module):
    """Choose centres, group their neighbours, encode relative position and feature, keep the maximum.

    The first linear layer runs before grouping (a linear map of `[x_j - c_i, f_j]` is a difference of
    per-point values), the rest after it: the same numbers within rounding for a fraction of the work.
    """

    def __init__(self, config: SetAbstractionConfig, *, in_channels: int) -> None:
        super().__init__()
        self.config = config
        widths = (3 + in_channels, *config.channels)
        self.layers = nn.ModuleList(linear(cin, cout, bias=False) for cin, cout in pairwise(widths))
        self.norms = nn.ModuleList(RowBatchNorm(width) for width in config.channels)

    def forward(
        self, xyz: Float[Tensor, "n p 3"], features: Float[Tensor, "n p c"]
    ) -> tuple[Float[Tensor, "n q 3"], Float[Tensor, "n q c2"]]:
        """Return centres and their features; with `points` None one row per cloud, its centre at 0.

        Gradients reach the features and, through the relative positions, the coordinates. Under autocast the
        first layer keeps the precision of the coordinates: its values are subtracted from one another.
        """
        with torch.autocast(xyz.device.type, enabled=False):
            x = self.layers[0](torch.cat([xyz, features.to(xyz.dtype)], dim=2))
            if self.config.points is None:
                centres, x = torch.zeros_like(xyz[:, :1]), x[:, None]
            else:
                centres, x = self._group(xyz, x, count=self.config.points)
        x = self.norms[0](x.to(features.dtype))
        for layer, norm in zip(list(self.layers)[1:], list(self.norms)[1:], strict=True):
            x = norm(layer(torch.relu_(x)))
        return centres, torch.relu(x.amax(2))

    def _group(self, xyz: Tensor, encoded: Tensor, *, count: int) -> tuple[Tensor, Tensor]:
        clouds, points, _ = xyz.shape
        with torch.no_grad():
            picked = furthest_point_sample(xyz, count).long()
            first = torch.arange(clouds, device=xyz.device)[:, None] * points
            picked_flat = (picked + first).flatten()
            centres = xyz.reshape(-1, 3).index_select(0, picked_flat).view(clouds, count, 3)
            members = ball_query(
                centres, xyz, radius=self.config.radius_m, num_samples=self.config.samples
            ).long()
            members_flat = (members + first[..., None]).flatten()
        centres = xyz.reshape(-1, 3).index_select(0, picked_flat).view(clouds, count, 3)
        grouped = encoded.flatten(0, 1).index_select(0, members_flat)
        grouped = grouped.view(clouds, count, self.config.samples, encoded.shape[2])
        return centres, grouped.sub_((centres @ self.layers[0].get_parameter("weight")[:, :3].T)[:, :, None])
