"""Layers on rows of features (points, voxels, RoIs): linear, batch norm that copes with few rows, ReLU."""

from collections.abc import Sequence

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
        if self.training and len(rows) < 2:
            rows = F.batch_norm(
                rows,
                self.running_mean,
                self.running_var,
                self.weight,
                self.bias,
                training=False,
                eps=self.eps,
            )
        else:
            rows = super().forward(rows)
        return rows.view(input.shape)


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
