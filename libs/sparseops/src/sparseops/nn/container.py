"""The base of sparse layers, and a container that mixes in layers on features."""

from torch import nn

from sparseops.tensor import SparseTensor


class SparseModule(nn.Module):
    """Base of layers that take and return a SparseTensor; derive your own blocks from it."""


class SparseSequential(nn.Sequential):
    """Run layers in order; those that are not sparse (BatchNorm1d, ReLU, Linear) get the feature rows.

    A layer is sparse if it derives from SparseModule or SparseSequential. A feature layer keeps the number of
    rows.
    """

    def forward(self, input: SparseTensor) -> SparseTensor:
        """Apply the layers."""
        tensor = input
        for layer in self:
            if isinstance(layer, SparseModule | SparseSequential):
                tensor = layer(tensor)
            else:
                tensor = tensor.replace(layer(tensor.features))
        return tensor
