"""Between points and voxels: means of the points in a voxel, and trilinear values of voxels at points.

Source: point-voxel layers of SPVCNN (Tang et al., arXiv 2007.16100). Points have coordinates in cells of the
finest voxels; a voxel of stride s covers s of them along each axis and has its value at its lowest corner.
Which point belongs to which voxels is found once for each stride, by `PointVoxelMaps`, and shared by all
layers of a network.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, Int64
from sparseops import (
    Sites,
    SparseTensor,
    TensorFields,
    lookup,
    scatter_mean,
    trilinear_devoxelize,
    trilinear_weights,
)
from torch import Tensor


@dataclass(frozen=True, slots=True)
class PointVoxelMap(TensorFields):
    """Where n points lie among the voxels of one stride."""

    sites: Sites
    """The voxels."""
    rows: Int64[Tensor, " n"]
    """Row of the voxel that contains the point, -1 if there is none."""
    corners: Int64[Tensor, "n 8"]
    """Rows of the voxels around the point, -1 where there is none: 000, 001, 010, ... in x y z, z fastest."""
    weights: Float[Tensor, "n 8"]
    """Trilinear weights of the corners. They add up to 1, or to 0 if no corner is a voxel."""

    def to_voxels(self, features: Float[Tensor, "n c"]) -> Float[Tensor, "m c"]:
        """Return the mean of the points of every voxel, 0 without; points in no voxel are left out."""
        return scatter_mean(features, self.rows, dim_size=self.sites.rows)

    def to_points(self, features: Float[Tensor, "m c"]) -> Float[Tensor, "n c"]:
        """Return the trilinear values of the voxels at every point; 0 where no corner is a voxel."""
        return trilinear_devoxelize(features, self.corners, self.weights)


def point_voxel_map(points_bzyx: Float[Tensor, "n 4"], sites: Sites, *, stride: int) -> PointVoxelMap:
    """Find points among the voxels of a stride.

    Args:
        points_bzyx: Scan, then coordinates in cells of the finest voxels, whole or not.
        sites: Voxels of that stride, whose coordinates count voxels of their own size.
        stride: Fine cells along an edge of a voxel.

    Raises:
        ValueError: The stride is below 1, or column 0 does not hold scans of the batch.

    Example:
        >>> from sparseops import sites_from_coords
        >>> coords = torch.tensor([[0, 0, 0, 0], [0, 0, 0, 1]], dtype=torch.int32)
        >>> sites = sites_from_coords(coords, spatial_shape=(1, 1, 2), batch_size=1)
        >>> found = point_voxel_map(torch.tensor([[0.0, 0.0, 0.0, 1.0]]), sites, stride=2)
        >>> found.rows.tolist(), found.to_points(torch.tensor([[10.0], [20.0]])).tolist()
        ([0], [[15.0]])
    """
    if stride < 1:
        raise ValueError(f"point_voxel_map: stride must be at least 1, got {stride}")
    scaled = torch.cat([points_bzyx[:, :1], points_bzyx[:, 1:] / stride], dim=1)
    corners, weights = trilinear_weights(scaled, sites)
    return PointVoxelMap(sites, lookup(sites, scaled.floor().long()), corners, weights)


class PointVoxelMaps:
    """The points of one batch, and their places among the voxels of every stride asked for so far.

    Args:
        points_bzyx: Scan, then coordinates in cells of the finest voxels.
    """

    def __init__(self, points_bzyx: Float[Tensor, "n 4"] | Int[Tensor, "n 4"]) -> None:
        self.points_bzyx = points_bzyx.detach().to(torch.float32)
        self._found: dict[int, PointVoxelMap] = {}

    def at(self, tensor: SparseTensor, *, stride: int) -> PointVoxelMap:
        """Return the places among the sites of a tensor; those found before for the same sites.

        Raises:
            ValueError: See `point_voxel_map`.
        """
        found = self._found.get(stride)
        if found is None or found.sites is not tensor.sites:
            found = self._found[stride] = point_voxel_map(self.points_bzyx, tensor.sites, stride=stride)
        return found
