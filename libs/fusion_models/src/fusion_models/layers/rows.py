"""Layers on rows of features (points, voxels, RoIs): linear, batch norm that copes with few rows, ReLU."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class RowBatchNorm(nn.BatchNorm1d):
    """Batch norm over all leading dimensions of [..., channels].

    In training with fewer than two rows there are no statistics: the running ones are used and stay as they
    are (PyTorch raises for a single row).
    """

    def forward(self, input: Float[Tensor, "*rows c"]) -> Float[Tensor, "*rows c"]:
        """Return the normalised rows, in the shape given."""
        rows = input.reshape(-1, input.shape[-1])
        too_few = self.training and len(rows) < 2
        return (self._with_running(rows) if too_few else super().forward(rows)).view(input.shape)

    def weighted(self, rows: Float[Tensor, "n c"], weights: Float[Tensor, " n"]) -> Float[Tensor, "n c"]:
        """Return the normalised rows, each of which stands for `weights` rows that are equal to it."""
        total = weights.sum()
        if not self.training or total < 2:
            return self._with_running(rows)
        with torch.autocast(rows.device.type, enabled=False):  # sums over rows need all their digits
            mean = weights @ rows / total
            centred = rows - mean
            variance = weights @ centred.square() / total
        self.update_running(mean.detach(), variance.detach() * (total / (total - 1)))
        return centred * (torch.rsqrt(variance + self.eps) * self.weight) + self.bias

    @torch.no_grad()
    def update_running(self, mean: Float[Tensor, " c"], variance: Float[Tensor, " c"]) -> None:
        """Take one batch into the running statistics, as `forward` does; the variance is the unbiased one."""
        self.get_buffer("num_batches_tracked").add_(1)
        self.get_buffer("running_mean").lerp_(mean, self.momentum or 0.0)
        self.get_buffer("running_var").lerp_(variance, self.momentum or 0.0)

    def _with_running(self, rows: Tensor) -> Tensor:
        return F.batch_norm(
            rows, self.running_mean, self.running_var, self.weight, self.bias, training=False, eps=self.eps
        )


def linear(cin: int, cout: int, *, bias: bool = True) -> nn.Linear:
    """Return a linear layer with Xavier-normal weights and zero bias (as the released RoI heads start)."""
    layer = nn.Linear(cin, cout, bias=bias)
    nn.init.xavier_normal_(layer.weight)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


def two_layers(cin: int, hidden: int, cout: int) -> nn.Sequential:
    """Return Linear, batch norm, ReLU, Linear: ImagePG's encoder of positions and image features."""
    return nn.Sequential(
        linear(cin, hidden), RowBatchNorm(hidden), nn.ReLU(inplace=True), linear(hidden, cout)
    )


def fully_connected(cin: int, widths: Sequence[int], *, dropout: float) -> nn.Sequential:
    """Return bias-free Linear, batch norm, ReLU per width, with dropout in between."""
    layers: list[nn.Module] = []
    for i, width in enumerate(widths):
        layers += [linear(cin, width, bias=False), RowBatchNorm(width), nn.ReLU(inplace=True)]
        if i + 1 < len(widths):
            layers.append(nn.Dropout(dropout))
        cin = width
    return nn.Sequential(*layers)
