"""Points to voxels: hard (with limits), dynamic (without), and the mean of the points of a voxel."""

from sparseops.voxelize._api import (
    BatchVoxels,
    DynamicVoxels,
    Voxels,
    voxel_grid_size,
    voxel_mean,
    voxelize,
    voxelize_batch,
    voxelize_dynamic,
)

__all__ = [
    "BatchVoxels",
    "DynamicVoxels",
    "Voxels",
    "voxel_grid_size",
    "voxel_mean",
    "voxelize",
    "voxelize_batch",
    "voxelize_dynamic",
]
