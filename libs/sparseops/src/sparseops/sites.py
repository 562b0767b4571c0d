"""The active sites of a sparse tensor: integer coordinates on a batch of grids, and their sorted order."""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Int, Int32, Int64
from torch import Tensor

from sparseops._backend import backend_for
from sparseops._checks import check_dtype

MAX_CELLS = 2**62
"""Site keys are 64-bit integers; a larger grid cannot be numbered."""


@dataclass(frozen=True, eq=False)
class Sites:
    """A set of distinct cells, one per feature row. Compared by identity: kernel maps are cached per object.

    Build it with `sites_from_coords`, which checks everything. The constructor itself checks nothing; it is
    the fast path for coordinates known to be right (pass `order=torch.arange(n)` when they are sorted).
    """

    coords: Int32[Tensor, "n axes"]
    """b z y x (3D) or b y x (2D) of every row, in any row order."""
    spatial_shape: tuple[int, ...]
    """Grid size z y x, or y x."""
    batch_size: int
    order: Int64[Tensor, " n"]
    """Row numbers in ascending order of (b, z, y, x)."""

    def __len__(self) -> int:
        return self.coords.shape[0]

    @property
    def dims(self) -> int:
        """Number of spatial axes, 2 or 3."""
        return len(self.spatial_shape)

    @property
    def shape_zyx(self) -> tuple[int, int, int]:
        """Grid size as if it were 3D: a 2D grid is one layer thick."""
        return (1,) * (3 - self.dims) + self.spatial_shape  # pyright: ignore[reportReturnType] length is 3

    @cached_property
    def sorted_bzyx(self) -> Int32[Tensor, "n 4"]:
        """Coordinates in ascending order, with z = 0 for a 2D grid."""
        coords = self.coords.index_select(0, self.order)
        if self.dims == 2:
            batch, coords = coords[:, :1], torch.nn.functional.pad(coords[:, 1:], (1, 0))
            coords = torch.cat([batch, coords], dim=1)
        return coords.contiguous()


def site_keys(coords: Int[Tensor, "*n axes"], spatial_shape: tuple[int, ...]) -> Int64[Tensor, "*n"]:
    """Number cells as ((b * Z + z) * Y + y) * X + x, so that ascending keys are ascending (b, z, y, x)."""
    keys = coords[..., 0].long()
    for axis, size in enumerate(spatial_shape, start=1):
        keys = keys * size + coords[..., axis]
    return keys


def coords_from_keys(keys: Int64[Tensor, " n"], spatial_shape: tuple[int, ...]) -> Int32[Tensor, "n axes"]:
    """Read the cells back from their numbers; the inverse of `site_keys`."""
    columns = []
    for size in reversed(spatial_shape):
        columns.append(keys % size)
        keys = keys.div(size, rounding_mode="floor")
    return torch.stack([keys, *reversed(columns)], dim=1).int()


def sites_from_coords(
    coords: Int32[Tensor, "n axes"], *, spatial_shape: tuple[int, ...], batch_size: int
) -> Sites:
    """Check the coordinates of a sparse tensor and sort them.

    Already ascending rows cost one linear pass, others a sort. Waits for the device when it is not the CPU.

    Raises:
        TypeError: `coords` is not int32.
        ValueError: wrong number of axes, cells outside the grid or the batch, two rows on one cell, or a
            grid of more than 2**62 cells.
    """
    check_dtype("SparseTensor", "coords", coords, (torch.int32,))
    dims = len(spatial_shape)
    if dims not in (2, 3) or coords.ndim != 2 or coords.shape[1] != dims + 1:
        raise ValueError(
            f"SparseTensor: coords must be [n, 4] with spatial_shape (z, y, x) or [n, 3] with (y, x), "
            f"got {list(coords.shape)} with spatial_shape {tuple(spatial_shape)}"
        )
    shape = tuple(int(size) for size in spatial_shape)
    if min(*shape, batch_size) < 1 or batch_size * math.prod(shape) > MAX_CELLS:
        raise ValueError(
            f"SparseTensor: batch_size and spatial_shape must be positive and hold at most 2**62 cells, "
            f"got {batch_size} and {shape}"
        )
    keys, ascending, low, high = _number(coords, shape)
    _check_range(low, high, (batch_size, *shape))
    if ascending:
        order = torch.arange(len(keys), device=keys.device)
    else:
        keys, order = _sort_keys(keys)
        duplicates = int((keys[1:] == keys[:-1]).sum())
        if duplicates:
            raise ValueError(
                f"SparseTensor: coords repeat a cell in {duplicates} of {len(keys)} rows; "
                "every cell may have one row, so merge them first, as sparseops.voxelize_dynamic does"
            )
    return Sites(coords.contiguous(), shape, batch_size, order)


def _number(coords: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, bool, list[int], list[int]]:
    """Keys, whether they ascend, and the smallest and largest value of every column (none for no rows)."""
    if coords.shape[0] and backend_for("sites_from_coords", coords) == "cpu":
        from sparseops._numba.sort import number_cells

        keys, ascending, low, high = number_cells(coords.numpy(), shape)
        return torch.from_numpy(keys), bool(ascending), low.tolist(), high.tolist()
    low, high = torch.aminmax(coords, dim=0) if coords.shape[0] else (coords, coords)
    keys = site_keys(coords, shape)
    return keys, bool((keys[1:] > keys[:-1]).all()), low.tolist(), high.tolist()


def _check_range(low: list[int], high: list[int], limits: tuple[int, ...]) -> None:
    for axis, least, most, limit in zip("bzyx"[-len(limits) :], low, high, limits, strict=bool(low)):
        name = "b" if axis == "bzyx"[-len(limits)] else axis
        if least < 0 or most >= limit:
            raise ValueError(
                f"SparseTensor: coords column {name} must lie in [0, {limit}), "
                f"got values from {least} to {most}; check the order (b, z, y, x) "
                "and that spatial_shape is (z, y, x)"
            )


def _sort_keys(keys: Tensor) -> tuple[Tensor, Tensor]:
    if backend_for("sites_from_coords", keys) == "cpu":
        from sparseops._numba.sort import sort_keys

        ascending, order = sort_keys(keys.numpy())
        return torch.from_numpy(ascending), torch.from_numpy(order)
    return torch.sort(keys, stable=True)
