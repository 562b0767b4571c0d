"""Batch norm as the SECOND family of detectors has it."""

from torch import nn

BATCH_NORM_EPS = 1e-3
"""Source: released code of the SECOND family, 2D and 3D backbones."""
BATCH_NORM_MOMENTUM = 0.01
"""Source: as above."""


def batch_norm_2d(channels: int) -> nn.BatchNorm2d:
    """Return the batch norm of the SECOND family."""
    return nn.BatchNorm2d(channels, eps=BATCH_NORM_EPS, momentum=BATCH_NORM_MOMENTUM)
