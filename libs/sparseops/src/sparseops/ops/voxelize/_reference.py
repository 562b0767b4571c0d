"""Voxelisation in plain PyTorch, any device. This file decides what is right."""

import torch
from torch import Tensor


def cells_of_points(
    points_xyz: Tensor, voxel_size: list[float], bounds: list[float], grid_xyz: list[int]
) -> tuple[Tensor, Tensor]:
    """Return the integer cell (x, y, z) of every point and whether it lies inside the grid."""
    lower = points_xyz.new_tensor(bounds[:3])
    cells = torch.floor((points_xyz - lower) / points_xyz.new_tensor(voxel_size))
    # Compared as floats, so that NaN and infinite coordinates are outside.
    inside = ((cells >= 0) & (cells < cells.new_tensor(grid_xyz))).all(dim=1)
    return torch.where(inside[:, None], cells, 0.0).long(), inside


def hard_voxelize(
    points: Tensor,
    batch_index: Tensor,
    voxel_size: list[float],
    bounds: list[float],
    grid_xyz: list[int],
    max_points: int,
    max_voxels: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return voxels [M, P, F], coords_bzyx [M, 4], counts [M], the point of each slot [M, P] (-1: none)."""
    nx, ny, nz = grid_xyz
    cells, inside = cells_of_points(points[:, :3], voxel_size, bounds, grid_xyz)
    rows = inside.nonzero()[:, 0]
    x, y, z = cells[rows].unbind(1)
    keys, voxel_of_row = torch.unique(((batch_index[rows] * nz + z) * ny + y) * nx + x, return_inverse=True)

    # Number the voxels sample by sample in order of first appearance.
    first_row = torch.full_like(keys, len(points)).scatter_reduce(0, voxel_of_row, rows, "amin")
    sample = keys // (nx * ny * nz)
    order = torch.argsort(sample * (len(points) + 1) + first_row)
    number_in_sample = torch.arange(len(order), device=keys.device)
    number_in_sample -= torch.searchsorted(sample[order], sample[order])
    order = order[number_in_sample < max_voxels]
    new_number = torch.full_like(keys, -1)
    new_number[order] = torch.arange(len(order), device=keys.device)

    # Rank of every point among the points of its voxel, in point order.
    by_voxel = torch.argsort(voxel_of_row, stable=True)
    rank = torch.empty_like(by_voxel)
    sorted_voxel = voxel_of_row[by_voxel]
    rank[by_voxel] = torch.arange(len(rows), device=keys.device) - torch.searchsorted(
        sorted_voxel, sorted_voxel
    )

    voxel = new_number[voxel_of_row]
    kept = (voxel >= 0) & (rank < max_points)
    slots = torch.full((len(order), max_points), -1, dtype=torch.int64, device=points.device)
    slots[voxel[kept], rank[kept]] = rows[kept]
    voxels = (
        points[slots.clamp(min=0)].masked_fill((slots < 0)[..., None], 0.0)
        if len(points)
        else (points.new_zeros(0, max_points, points.shape[1]))
    )
    key = keys[order]
    coords_bzyx = torch.stack([key // (nx * ny * nz), key // (nx * ny) % nz, key // nx % ny, key % nx], dim=1)
    return voxels, coords_bzyx.int(), (slots >= 0).sum(1).int(), slots


def dynamic_voxelize(
    points: Tensor, batch_index: Tensor, voxel_size: list[float], bounds: list[float], grid_xyz: list[int]
) -> tuple[Tensor, Tensor, Tensor]:
    """Return sorted sites coords_bzyx [M, 4], the site of every point [N] (-1: outside) and counts [M]."""
    nx, ny, nz = grid_xyz
    cells, inside = cells_of_points(points[:, :3], voxel_size, bounds, grid_xyz)
    x, y, z = cells[inside].unbind(1)
    keys, inverse, counts = torch.unique(
        ((batch_index[inside] * nz + z) * ny + y) * nx + x, return_inverse=True, return_counts=True
    )
    voxel_of_point = torch.full((len(points),), -1, dtype=torch.int64, device=points.device)
    voxel_of_point[inside] = inverse
    coords_bzyx = torch.stack(
        [keys // (nx * ny * nz), keys // (nx * ny) % nz, keys // nx % ny, keys % nx], dim=1
    )
    return coords_bzyx.int(), voxel_of_point, counts.int()
