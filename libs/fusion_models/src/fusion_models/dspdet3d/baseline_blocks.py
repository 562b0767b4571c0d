"""The backbone of TR3D and FCAF3D: a sparse ResNet-34 behind a stem that pools, and FCAF3D's norm."""

import torch
from sparseops import SparseTensor, global_avg_pool, scatter_mean, union_add
from sparseops.nn import SparseMaxPool3d, SparseModule, SparseSequential
from torch import nn

from fusion_models.dspdet3d.backbone import halving_conv, residual_stages, results_of_stages
from fusion_models.dspdet3d.baseline_config import BaselineConfig


class RoomInstanceNorm(SparseModule):
    """Subtract the mean of a room and divide by its standard deviation, channel by channel, then weight.

    The same in training and evaluation; statistics are in single precision, also under autocast.
    """

    def __init__(self, channels: int, *, eps: float = 1e-8) -> None:
        """Make the layer; `eps` is added to the variance. Source: MinkowskiEngine 0.5.4."""
        super().__init__()
        self.eps = eps
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, tensor: SparseTensor) -> SparseTensor:
        """Return features on the same voxels; those of a room with one voxel become the bias."""
        rows, rooms = tensor.features, tensor.coords[:, 0].long()
        with torch.autocast(rows.device.type, enabled=False):
            single = rows.float()
            centred = single - global_avg_pool(tensor.replace(single))[rooms]
            variance = scatter_mean(centred.square(), rooms, dim_size=tensor.batch_size)
            normed = centred * torch.rsqrt(variance + self.eps)[rooms] * self.weight + self.bias
        return tensor.replace(normed.to(rows.dtype))


class PooledBackbone(nn.Module):
    """Convolution of stride 2 and max pooling, then stages, each of which starts with one of stride 2."""

    def __init__(self, config: BaselineConfig, *, norm: nn.Module) -> None:
        """Make the backbone of a configuration; `norm` comes after the first convolution."""
        super().__init__()
        self.stem = SparseSequential(halving_conv(3, config.stem_channels), norm, nn.ReLU(inplace=True))
        if config.stem_stride == 4:
            self.stem.append(SparseMaxPool3d(2, stride=2, site_rule="minkowski"))
        self.stages = residual_stages(
            config.stem_channels, blocks=config.stage_blocks, channels=config.stage_channels
        )

    def forward(self, tensor: SparseTensor) -> list[SparseTensor]:
        """Return the result of every stage, finest first."""
        return results_of_stages(self.stages, self.stem(tensor))


def union_of(tensor: SparseTensor, other: SparseTensor) -> SparseTensor:
    """Add two tensors of one grid on all sites of both, in the precision of the first."""
    return union_add(tensor, other.replace(other.features.to(tensor.features.dtype)))
