"""The base of sparse layers, and a container that mixes in layers on features."""

from torch import nn
from torch.nn.modules.instancenorm import _InstanceNorm

from sparseops.tensor import SparseTensor


class SparseModule(nn.Module):
    """Base of layers that take and return a SparseTensor; derive your own blocks from it."""


class SparseSequential(nn.Sequential):
    """Run layers in order; those that are not sparse (BatchNorm1d, ReLU, Linear) get the feature rows.

    A layer is sparse if it, or a module inside it, derives from SparseModule or SparseSequential: a block of
    your own may be a plain `nn.Module`. A feature layer keeps the number of rows.
    """

    def forward(self, input: SparseTensor) -> SparseTensor:
        """Apply the layers.

        Raises:
            TypeError: Instance normalisation, which would take rows for channels.
        """
        tensor = input
        for place, layer in enumerate(self):
            if any(isinstance(part, SparseModule | SparseSequential) for part in layer.modules()):
                tensor = layer(tensor)
                continue
            if isinstance(layer, _InstanceNorm):
                raise TypeError(
                    f"SparseSequential: layer {place} is {type(layer).__name__}, which takes the rows of "
                    "features for channels; use BatchNorm1d or LayerNorm"
                )
            tensor = tensor.replace(layer(tensor.features))
        return tensor
