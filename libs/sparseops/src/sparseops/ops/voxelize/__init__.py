"""Points to voxels: hard (with limits), dynamic (without); the mean and the first point of a voxel."""

from sparseops.ops.voxelize._api import (
    BatchVoxels,
    DynamicVoxels,
    Voxels,
    dynamic_voxelize_batch,
    voxel_first,
    voxel_grid_size,
    voxel_mean,
    voxelize,
    voxelize_batch,
)

__all__ = [
    "BatchVoxels",
    "DynamicVoxels",
    "Voxels",
    "dynamic_voxelize_batch",
    "voxel_first",
    "voxel_grid_size",
    "voxel_mean",
    "voxelize",
    "voxelize_batch",
]
