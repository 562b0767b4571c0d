"""Public functions of voxelisation: rules, checks and the choice of the back end."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sparseops._checks import (
    HALF_AND_FLOATS,
    INTEGERS,
    check_device,
    check_dtype,
    check_positive,
    check_shape,
    check_tensor,
    plain_numbers,
    wide,
)
from sparseops._values import ANY_BELOW, batch_column, checked_rows
from sparseops.ops.voxelize import _ops
from sparseops.sites import MAX_CELLS

MAX_COORDINATE = 2**31 - 1
Vector3 = tuple[float, float, float]
Bounds = tuple[float, float, float, float, float, float]


class Voxels(NamedTuple):
    """The voxels of one cloud."""

    points: Float[Tensor, "m p f"]
    """Points of each voxel in input order; unused slots are zero."""
    coords_zyx: Int[Tensor, "m 3"]
    """Cell, int32."""
    counts: Int[Tensor, " m"]
    """Points kept in each voxel, 1..p, int32."""


class BatchVoxels(NamedTuple):
    """The voxels of several clouds, sample by sample."""

    points: Float[Tensor, "m p f"]
    """Points of each voxel in input order, without the batch column; unused slots are zero."""
    coords_bzyx: Int[Tensor, "m 4"]
    """Sample and cell, int32."""
    counts: Int[Tensor, " m"]
    """Points kept in each voxel, 1..p, int32."""


class DynamicVoxels(NamedTuple):
    """Occupied cells of several clouds without limits."""

    coords_bzyx: Int[Tensor, "m 4"]
    """Sample and cell, int32, sorted by (b, z, y, x)."""
    voxel_of_point: Int[Tensor, " n"]
    """Row of `coords_bzyx` for every point, -1 for points outside the grid, int64."""
    counts: Int[Tensor, " m"]
    """Points in each voxel, at least 1, int32."""


def voxel_grid_size(voxel_size: Vector3, bounds: Bounds) -> tuple[int, int, int]:
    """Return the number of cells along x, y, z: round((upper - lower) / size).

    Raises:
        TypeError, ValueError: Not three and six finite numbers, an edge length that is not positive, no cell,
            or more cells than can be numbered.

    Example:
        >>> voxel_grid_size((0.05, 0.05, 0.1), (0.0, -40.0, -3.0, 70.4, 40.0, 1.0))
        (1408, 1600, 40)
    """
    x, y, z = _grid("voxel_grid_size", voxel_size, bounds)[2]
    return x, y, z


def voxelize(
    points: Float[Tensor, "n f"], *, voxel_size: Vector3, bounds: Bounds, max_points: int, max_voxels: int
) -> Voxels:
    """Group the points of one cloud into voxels, with limits on points per voxel and on voxels.

    Columns 0..2 are x, y, z in metres, in the frame of `bounds`; the others are carried along. The cell is
    floor((p - lower) / size) in float32; points outside the grid of `voxel_grid_size` cells and points with
    NaN coordinates are dropped. Voxels are numbered in order of first appearance. A full voxel ignores
    further points; once there are `max_voxels` voxels, points of new voxels are dropped while known ones
    still fill. No points give no voxels. The gradient reaches the points that were kept. O(n) time and
    memory; the same result for any number of threads.

    Args:
        voxel_size: Edge lengths x, y, z in metres; a tuple, list, array or tensor.
        bounds: x0 y0 z0 x1 y1 z1 in metres; upper bounds excluded.

    Raises:
        TypeError: `points` is not float32, or sizes or bounds are no numbers.
        ValueError: Fewer than three columns, a size or limit that is not positive or not finite, or more than
            2**31 - 1 cells along an axis or 2**62 in all.

    Example:
        >>> points = torch.tensor([[0.1, 0.1, 0.1], [0.9, 0.2, 0.3], [0.2, 0.2, 0.2]])
        >>> grid = {"voxel_size": (0.5, 0.5, 0.5), "bounds": (0.0, 0.0, 0.0, 1.0, 1.0, 1.0)}
        >>> voxels = voxelize(points, **grid, max_points=2, max_voxels=10)
        >>> voxels.coords_zyx.tolist(), voxels.counts.tolist()
        ([[0, 0, 0], [0, 0, 1]], [2, 1])
    """
    _check_cloud("voxelize", points, columns=3)
    grid = _grid("voxelize", voxel_size, bounds)
    check_positive("voxelize", "max_points", max_points)
    check_positive("voxelize", "max_voxels", max_voxels)
    batch_index = torch.zeros(len(points), dtype=torch.int64, device=points.device)
    voxels, coords_bzyx, counts, _ = _ops.hard_voxelize(points, batch_index, *grid, max_points, max_voxels)
    return Voxels(voxels, coords_bzyx[:, 1:].contiguous(), counts)


def voxelize_batch(
    points: Float[Tensor, "n bf"],
    *,
    voxel_size: Vector3,
    bounds: Bounds,
    max_points: int,
    max_voxels: int,
    batch_size: int,
) -> BatchVoxels:
    """Group the points of several clouds into voxels: `voxelize` of every sample, one after the other.

    Column 0 is the sample (0 .. batch_size - 1), columns 1..3 are x, y, z; see `voxelize` for the rules.
    `max_voxels` holds per sample. The rows of the samples may be interleaved.

    Raises:
        TypeError: `points` is not float32.
        ValueError: Fewer than four columns, a sample outside 0 .. batch_size - 1, or a size or limit that is
            not positive.

    Example:
        >>> points = torch.tensor([[1.0, 0.1, 0.1, 0.1], [0.0, 0.9, 0.2, 0.3]])
        >>> grid = {"voxel_size": (0.5, 0.5, 0.5), "bounds": (0.0, 0.0, 0.0, 1.0, 1.0, 1.0)}
        >>> voxelize_batch(points, **grid, max_points=2, max_voxels=10, batch_size=2).coords_bzyx.tolist()
        [[0, 0, 0, 1], [1, 0, 0, 0]]
    """
    _check_cloud("voxelize_batch", points, columns=4)
    grid = _grid("voxelize_batch", voxel_size, bounds, batch_size)
    check_positive("voxelize_batch", "max_points", max_points)
    check_positive("voxelize_batch", "max_voxels", max_voxels)
    batch_index = batch_column(points.detach(), batch_size, "voxelize_batch", wait=True)
    voxels, coords_bzyx, counts, _ = _ops.hard_voxelize(
        points[:, 1:], batch_index, *grid, max_points, max_voxels
    )
    return BatchVoxels(voxels, coords_bzyx, counts)


def dynamic_voxelize_batch(
    points: Float[Tensor, "n bf"], *, voxel_size: Vector3, bounds: Bounds, batch_size: int
) -> DynamicVoxels:
    """Find the occupied cells of several clouds and the cell of every point, without limits.

    Cells are computed as in `voxelize`; sites come sorted by (b, z, y, x). Reduce point features with
    `scatter_mean(features, voxel_of_point, dim_size=len(coords_bzyx))`, which leaves out the points marked
    -1.

    Args:
        points: Column 0 is the sample, columns 1..3 are x, y, z in metres.

    Raises:
        TypeError: `points` is not float32.
        ValueError: As `voxelize_batch`.

    Example:
        >>> points = torch.tensor([[0.0, 0.9, 0.2, 0.3], [0.0, 0.1, 0.1, 0.1], [0.0, 5.0, 0.0, 0.0]])
        >>> grid = {"voxel_size": (0.5, 0.5, 0.5), "bounds": (0.0, 0.0, 0.0, 1.0, 1.0, 1.0)}
        >>> dynamic_voxelize_batch(points, **grid, batch_size=1).voxel_of_point.tolist()
        [1, 0, -1]
    """
    _check_cloud("dynamic_voxelize_batch", points, columns=4)
    grid = _grid("dynamic_voxelize_batch", voxel_size, bounds, batch_size)
    batch_index = batch_column(points.detach(), batch_size, "dynamic_voxelize_batch", wait=True)
    return DynamicVoxels(*_ops.dynamic_voxelize(points[:, 1:].detach(), batch_index, *grid))


def voxel_mean(points: Float[Tensor, "m p f"], counts: Int[Tensor, " m"]) -> Float[Tensor, "m f"]:
    """Average the points of every voxel: sum over the slots / max(count, 1).

    Unused slots must be zero, as `voxelize` leaves them. The gradient is shared equally by the kept points
    (and by the unused slots, from where it goes nowhere). Half precision is computed in float32 and returned
    in its type.

    Raises:
        TypeError: Points that are not floating point.
        ValueError: Wrong shape or different devices.

    Example:
        >>> voxel_mean(torch.tensor([[[1.0], [3.0], [0.0]]]), torch.tensor([2])).tolist()
        [[2.0]]
    """
    check_shape("voxel_mean", "points", points, ("M", "P", "F"))
    check_shape("voxel_mean", "counts", counts, (len(points),))
    check_dtype("voxel_mean", "points", points, HALF_AND_FLOATS)
    check_device("voxel_mean", ("points", points), ("counts", counts))
    total = wide(points).sum(dim=1)
    return (total / counts.clamp(min=1).to(total.dtype)[:, None]).to(points.dtype)


def voxel_first(voxel_of_point: Int[Tensor, " n"], *, num_voxels: int) -> Int[Tensor, " m"]:
    """Find the first point of every voxel: the lowest row with its number, [num_voxels], int64.

    Made for `voxel_of_point` of `dynamic_voxelize_batch`, whose voxels all have a point; take
    `features[voxel_first(...)]` to represent a voxel by its first point. Points with a negative number are
    left out; a number that no point has gets row n. O(n).

    Args:
        num_voxels: Number of voxels; every number is below it.

    Raises:
        TypeError: Numbers that are not integers.
        ValueError: Wrong shape.
        IndexError: A number of `num_voxels` or more (checked on the CPU only).

    Example:
        >>> voxel_first(torch.tensor([1, -1, 0, 1, 0]), num_voxels=2).tolist()
        [2, 0]
    """
    op = "voxel_first"
    check_shape(op, "voxel_of_point", voxel_of_point, ("N",))
    check_dtype(op, "voxel_of_point", voxel_of_point, INTEGERS)
    n, words = len(voxel_of_point), f"{op}: voxel_of_point must be below num_voxels {{limit}}, got {{high}}"
    voxel = checked_rows(voxel_of_point, ANY_BELOW, num_voxels, words)
    # A last place takes the points that are left out.
    place = torch.where((voxel < 0) | (voxel >= num_voxels), num_voxels, voxel)
    rows = torch.arange(n, device=place.device)
    first = torch.full((num_voxels + 1,), n, device=place.device)
    return first.scatter_reduce(0, place, rows, "amin")[:-1]


def _grid(
    op: str, voxel_size: Vector3, bounds: Bounds, batch_size: int = 1
) -> tuple[list[float], list[float], list[int]]:
    """The flat form that operators take: edge lengths, bounds and cells along x, y, z."""
    size, span = plain_numbers(op, "voxel_size", voxel_size, 3), plain_numbers(op, "bounds", bounds, 6)
    check_positive(op, "voxel_size", size)
    cells = [round((span[axis + 3] - span[axis]) / size[axis]) for axis in range(3)]
    check_positive(op, "cells along x, y, z of bounds / voxel_size", cells)
    if max(cells) > MAX_COORDINATE or batch_size * math.prod(cells) > MAX_CELLS:
        raise ValueError(
            f"{op}: bounds / voxel_size must be at most 2**31 - 1 cells along an axis and 2**62 in all, got "
            f"{cells}; make voxel_size larger, or bounds narrower"
        )
    return list(size), list(span), cells


def _check_cloud(op: str, points: Tensor, *, columns: int) -> None:
    check_tensor(op, "points", points)
    if points.ndim != 2 or points.shape[1] < columns:
        raise ValueError(f"{op}: points must have shape [N, {columns} or more], got {list(points.shape)}")
    check_dtype(op, "points", points, (torch.float32,))
