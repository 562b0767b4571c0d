"""Layers for sparse tensors: convolutions, pooling, and a container that mixes in layers on features."""

from sparseops.nn.container import SparseModule, SparseSequential
from sparseops.nn.conv import (
    InverseConv2d,
    InverseConv3d,
    SparseConv2d,
    SparseConv3d,
    SubmanifoldConv2d,
    SubmanifoldConv3d,
    TransposedConv2d,
    TransposedConv3d,
)
from sparseops.nn.pool import SparseAvgPool2d, SparseAvgPool3d, SparseMaxPool2d, SparseMaxPool3d

__all__ = [
    "InverseConv2d",
    "InverseConv3d",
    "SparseAvgPool2d",
    "SparseAvgPool3d",
    "SparseConv2d",
    "SparseConv3d",
    "SparseMaxPool2d",
    "SparseMaxPool3d",
    "SparseModule",
    "SparseSequential",
    "SubmanifoldConv2d",
    "SubmanifoldConv3d",
    "TransposedConv2d",
    "TransposedConv3d",
]
