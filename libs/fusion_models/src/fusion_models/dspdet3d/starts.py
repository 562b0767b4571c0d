"""How the weights of room detectors are drawn at the start of a training, as the released codes do."""

import math

from sparseops.nn import TransposedConv3d
from sparseops.nn.conv import SparseConvBase
from torch import nn

PRIOR = 0.01
"""Probability of every class at the start of a training. Source: released heads."""
CLASS_BIAS = -math.log((1 - PRIOR) / PRIOR)
"""Bias of the class logits that gives it."""


def draw_kaiming(layer: SparseConvBase) -> None:
    """Draw a convolution from a normal distribution that keeps the gradient's variance through a ReLU."""
    nn.init.normal_(layer.weight, std=math.sqrt(2 / (layer.out_channels * math.prod(layer.kernel_size))))


def draw_uniform(layer: SparseConvBase) -> None:
    """Draw a convolution as MinkowskiEngine does: uniform, +- 1 / sqrt(cells * channels that enter a sum).

    For a transposed one it counts the channels that leave.
    """
    channels = layer.out_channels if isinstance(layer, TransposedConv3d) else layer.in_channels
    bound = 1 / math.sqrt(channels * math.prod(layer.kernel_size))
    nn.init.uniform_(layer.weight, -bound, bound)


def draw_head(layer: nn.Linear) -> None:
    """Draw a head: weights near 0, and a bias, where it has one, as MinkowskiEngine does."""
    nn.init.normal_(layer.weight, std=0.01)
    if layer.bias is not None:
        bound = 1 / math.sqrt(layer.in_features)
        nn.init.uniform_(layer.bias, -bound, bound)
