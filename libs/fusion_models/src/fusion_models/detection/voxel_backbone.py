"""Voxel grid, mean voxel encoder and 3D backbone of the SECOND family (`MeanVFE`, `VoxelBackBone8x`)."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from jaxtyping import Float
from sparseops import SparseTensor, TensorFields, voxel_mean, voxelize_batch
from sparseops.nn import SparseConv3d, SparseSequential, SubmanifoldConv3d
from torch import Tensor, nn

from fusion_models.layers.norms import BATCH_NORM_EPS, BATCH_NORM_MOMENTUM
from fusion_models.layers.rows import RowBatchNorm


@dataclass(frozen=True)
class VoxelGrid:
    """Voxel grid in the LiDAR frame."""

    size: tuple[float, float, float] = (0.05, 0.05, 0.05)
    """Edges x y z in metres. Source: kitti_dataset.yaml of ImagePG, VOXEL_SIZE (0.05 in z, where SECOND has
    0.1)."""
    bounds: tuple[float, float, float, float, float, float] = (0.0, -40.0, -3.0, 70.4, 40.0, 1.0)
    """x0 y0 z0 x1 y1 z1 in metres. Source: kitti_dataset.yaml, POINT_CLOUD_RANGE."""
    max_points: int = 5
    """Points kept per voxel. Source: MAX_POINTS_PER_VOXEL."""
    max_voxels_train: int = 16000
    """Voxels kept per frame in training. Source: MAX_NUMBER_OF_VOXELS.train."""
    max_voxels_test: int = 40000
    """Voxels kept per frame in evaluation. Source: MAX_NUMBER_OF_VOXELS.test."""

    def __post_init__(self) -> None:
        if min(self.size) <= 0:
            raise ValueError(f"VoxelGrid.size must be positive, got {self.size}")
        if any(high <= low for low, high in zip(self.bounds[:3], self.bounds[3:], strict=True)):
            raise ValueError(
                f"VoxelGrid.bounds must be x0 y0 z0 x1 y1 z1 with lower < upper, got {self.bounds}"
            )
        if min(self.max_points, self.max_voxels_train, self.max_voxels_test) < 1:
            raise ValueError("VoxelGrid: max_points, max_voxels_train and max_voxels_test must be at least 1")

    @property
    def cells_zyx(self) -> tuple[int, int, int]:
        """Voxels along z, y, x."""
        x, y, z = (round((self.bounds[a + 3] - self.bounds[a]) / self.size[a]) for a in range(3))
        return z, y, x

    @property
    def sparse_shape_zyx(self) -> tuple[int, int, int]:
        """Grid of the sparse tensor: one layer more in z than voxels, as in the released code."""
        z, y, x = self.cells_zyx
        return z + 1, y, x


@dataclass(frozen=True)
class VoxelBackboneConfig:
    """Widths of the 3D backbone. Source: imagepg.yaml, BACKBONE_3D (PG-RCNN: 16, 32, 64, 64)."""

    channels: tuple[int, int, int, int] = (32, 64, 64, 64)
    """Of x_conv1 (and the input convolution) to x_conv4."""
    out_channels: int = 128
    """After the last convolution, which only strides along z."""


@dataclass(frozen=True, slots=True)
class VoxelFeatures(TensorFields):
    """Sparse features at the scales of the backbone."""

    scales: Mapping[str, SparseTensor]
    """`x_conv1` .. `x_conv4`, at 1, 2, 4 and 8 input voxels per cell."""
    out: SparseTensor
    """`conv_out`: as x_conv4, but half as tall; rows sorted by b z y x."""


def encode_voxels(
    points: Float[Tensor, "n columns"], grid: VoxelGrid, *, batch_size: int, max_voxels: int
) -> SparseTensor:
    """Return the voxels of a batch of clouds, each with the mean of the points it keeps.

    Args:
        points: b x y z and further features, metres, LiDAR frame. Those outside the bounds are left out.
        max_voxels: Voxels kept per frame, the first in the order of the points.
    """
    voxels = voxelize_batch(
        points,
        voxel_size=grid.size,
        bounds=grid.bounds,
        max_points=grid.max_points,
        max_voxels=max_voxels,
        batch_size=batch_size,
    )
    mean = voxel_mean(voxels.points, voxels.counts)
    return SparseTensor(mean, voxels.coords_bzyx, grid.sparse_shape_zyx, batch_size)


class VoxelBackbone(nn.Module):
    """Submanifold and strided sparse convolutions, 8 times down in x and y, about 20 times in z.

    Submodules carry the names of the released code. Batch norm: eps 1e-3, momentum 0.01.
    """

    def __init__(
        self, config: VoxelBackboneConfig, *, sparse_shape_zyx: tuple[int, int, int], point_features: int
    ) -> None:
        """Build the layers.

        Args:
            sparse_shape_zyx: Of the voxels that come in.
            point_features: Features per voxel, those of its points.

        Raises:
            ValueError: The grid is too flat for the four strides in z.
        """
        super().__init__()
        self.config = config
        self.out_shape_zyx = out_shape(sparse_shape_zyx)
        one, two, three, four = config.channels
        self.conv_input = _submanifold(point_features, one)
        self.conv1 = SparseSequential(_submanifold(one, one))
        self.conv2 = _stage(one, two, padding=1)
        self.conv3 = _stage(two, three, padding=1)
        self.conv4 = _stage(three, four, padding=(0, 1, 1))
        self.conv_out = SparseSequential(
            SparseConv3d(four, config.out_channels, (3, 1, 1), stride=(2, 1, 1), bias=False),
            _norm(config.out_channels),
            nn.ReLU(),
        )

    @property
    def channels(self) -> dict[str, int]:
        """Channels by name of the scale."""
        return {f"x_conv{i + 1}": width for i, width in enumerate(self.config.channels)}

    @property
    def bev_channels(self) -> int:
        """Channels of the BEV map: those of conv_out times its height."""
        return self.config.out_channels * self.out_shape_zyx[0]

    def forward(self, voxels: SparseTensor) -> VoxelFeatures:
        """Return the features at every scale; a batch without voxels is fine."""
        scales = {}
        tensor = self.conv_input(voxels)
        for name, stage in (("x_conv1", self.conv1), ("x_conv2", self.conv2), ("x_conv3", self.conv3)):
            tensor = scales[name] = stage(tensor)
        tensor = scales["x_conv4"] = self.conv4(tensor)
        return VoxelFeatures(scales=scales, out=self.conv_out(tensor))


def bev_map(tensor: SparseTensor) -> Float[Tensor, "b cz y x"]:
    """Return a dense map with the height stacked into the channels: channel c, layer z become `c * Z + z`."""
    return tensor.dense().flatten(1, 2)


def out_shape(sparse_shape_zyx: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return the grid z y x of the backbone's output.

    Raises:
        ValueError: The grid is too flat for the four strides in z.

    Example:
        >>> out_shape((81, 1600, 1408))
        (4, 200, 176)
    """
    z, y, x = sparse_shape_zyx
    height = ((_halve(_halve(z)) - 3) // 2 + 1 - 3) // 2 + 1
    if height < 1:
        raise ValueError(
            f"VoxelBackbone: a grid of {z} layers is too flat for the strides in z; it needs at least 25 "
            "layers (voxels along z plus one), so lower the voxel size in z or raise the bounds"
        )
    return height, _halve(_halve(_halve(y))), _halve(_halve(_halve(x)))


def _halve(size: int) -> int:
    return (size - 1) // 2 + 1


_norm = partial(RowBatchNorm, eps=BATCH_NORM_EPS, momentum=BATCH_NORM_MOMENTUM)


def _submanifold(cin: int, cout: int) -> SparseSequential:
    return SparseSequential(SubmanifoldConv3d(cin, cout, 3, bias=False), _norm(cout), nn.ReLU())


def _stage(cin: int, cout: int, *, padding: int | tuple[int, int, int]) -> SparseSequential:
    down = SparseConv3d(cin, cout, 3, stride=2, padding=padding, bias=False)
    return SparseSequential(
        SparseSequential(down, _norm(cout), nn.ReLU()), _submanifold(cout, cout), _submanifold(cout, cout)
    )
