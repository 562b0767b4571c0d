"""The active sites of a sparse tensor: integer coordinates on a batch of grids, and their sorted order."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int, Int32, Int64
from torch import Tensor

from sparseops._backend import backend_for
from sparseops._checks import INTEGERS, check_device, check_dtype, check_shape
from sparseops._lazy import fields_alone, lazy
from sparseops._operator import operator

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
    def rows(self) -> int:
        """Number of sites; unlike `len`, a symbol where PyTorch traces a number that it does not know yet."""
        return self.coords.shape[0]

    @property
    def dims(self) -> int:
        """Number of spatial axes, 2 or 3."""
        return len(self.spatial_shape)

    @property
    def shape_zyx(self) -> tuple[int, int, int]:
        """Grid size as if it were 3D: a 2D grid is one layer thick."""
        return (1,) * (3 - self.dims) + self.spatial_shape  # pyright: ignore[reportReturnType] length is 3

    __getstate__ = fields_alone

    @lazy
    def sorted_bzyx(self) -> Int32[Tensor, "n 4"]:
        """Coordinates in ascending order, with z = 0 for a 2D grid."""
        coords = self.coords.index_select(0, self.order)
        if self.dims == 2:
            batch, coords = coords[:, :1], torch.nn.functional.pad(coords[:, 1:], (1, 0))
            coords = torch.cat([batch, coords], dim=1)
        return coords.contiguous()

    @lazy
    def sorted_keys(self) -> Int64[Tensor, " n"]:
        """Numbers of the cells (see `site_keys`), ascending."""
        return site_keys(self.coords[self.order], self.spatial_shape)

    def to(self, device: torch.device | str) -> "Sites":
        """Return the same sites on another device; these themselves if they are there."""
        coords = self.coords.to(device)
        if coords is self.coords:
            return self
        return Sites(coords, self.spatial_shape, self.batch_size, self.order.to(device))

    def pin_memory(self) -> "Sites":
        """Return the same sites in page-locked memory."""
        return Sites(self.coords.pin_memory(), self.spatial_shape, self.batch_size, self.order.pin_memory())


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

    Already ascending rows cost one linear pass, others a sort. Batch elements may be empty. Waits for the
    device when it is not the CPU.

    Raises:
        TypeError: `coords` is not int32.
        ValueError: wrong number of axes, cells outside the grid or the batch, two rows on one cell, or a
            grid of more than 2**62 cells.
    """
    shape = check_coords("SparseTensor", coords, tuple(spatial_shape), batch_size)
    return Sites(coords.contiguous(), shape, batch_size, _order(coords, list(shape), batch_size))


def _fake_rows(coords: Tensor, *_: Any) -> Tensor:
    return coords.new_empty(coords.shape[0], dtype=torch.int64)


@operator("sparseops::site_order", fake=_fake_rows)
def _order(coords: Tensor, spatial_shape: list[int], batch_size: int) -> Tensor:
    """Row numbers in ascending order of the cells, after a check that they are cells and distinct."""
    _check_range("SparseTensor", coords, (batch_size, *spatial_shape))
    keys, ascending = _number(coords, tuple(spatial_shape))
    if ascending:
        return torch.arange(len(keys), device=keys.device)
    keys, order = _sort_keys(keys)
    duplicates = int((keys[1:] == keys[:-1]).sum())
    if duplicates:
        raise ValueError(
            f"SparseTensor: coords repeat a cell in {duplicates} of {len(keys)} rows; "
            "every cell may have one row, so merge them first with sparseops.merge_duplicates"
        )
    return order


@operator("sparseops::cell_keys", fake=_fake_rows)
def cell_keys(coords: Tensor, spatial_shape: list[int], batch_size: int, op: str) -> Tensor:
    """`site_keys`, after a check for `op` that the coordinates are cells of the batch of grids."""
    _check_range(op, coords, (batch_size, *spatial_shape))
    return site_keys(coords, tuple(spatial_shape))


def lookup(sites: Sites, coords: Int[Tensor, "m axes"]) -> Int64[Tensor, " m"]:
    """Find the row of every queried cell, -1 where it is no site.

    Queries are b z y x or b y x like `sites.coords`, in any order and number; those outside the grid or the
    batch are no sites. A bisection of the sorted keys, which the sites keep; it does not wait for the device.

    Raises:
        TypeError: `coords` is not int32 or int64.
        ValueError: wrong number of axes, or another device.

    Example:
        >>> cells = torch.tensor([[0, 0, 3], [0, 0, 1]], dtype=torch.int32)
        >>> line = sites_from_coords(cells, spatial_shape=(1, 4), batch_size=1)
        >>> lookup(line, torch.tensor([[0, 0, 1], [0, 0, 2], [0, 0, 3], [1, 0, 3]])).tolist()
        [1, -1, 0, -1]
    """
    check_dtype("lookup", "coords", coords, INTEGERS)
    check_shape("lookup", "coords", coords, ("m", sites.dims + 1))
    check_device("lookup", ("coords", coords), ("sites", sites.coords))
    if len(sites) == 0:
        return torch.full((len(coords),), -1, device=coords.device)
    limits = torch.tensor((sites.batch_size, *sites.spatial_shape), device=coords.device)
    keys = site_keys(coords.long(), sites.spatial_shape)
    position = torch.searchsorted(sites.sorted_keys, keys).clamp_(max=len(sites) - 1)
    found = ((coords >= 0) & (coords < limits)).all(1) & (sites.sorted_keys[position] == keys)
    return torch.where(found, sites.order[position], -1)


def check_coords(op: str, coords: Tensor, spatial_shape: tuple[int, ...], batch_size: int) -> tuple[int, ...]:
    """Raise unless type and sizes are those of cells of such a batch; return the grid as plain numbers."""
    check_dtype(op, "coords", coords, (torch.int32,))
    dims = len(spatial_shape)
    if dims not in (2, 3) or coords.ndim != 2 or coords.shape[1] != dims + 1:
        raise ValueError(
            f"{op}: coords must be [n, 4] with spatial_shape (z, y, x) or [n, 3] with (y, x), "
            f"got {list(coords.shape)} with spatial_shape {spatial_shape}"
        )
    shape = tuple(int(size) for size in spatial_shape)
    if min(*shape, batch_size) < 1 or batch_size * math.prod(shape) > MAX_CELLS:
        raise ValueError(
            f"{op}: batch_size and spatial_shape must be positive and hold at most 2**62 cells, "
            f"got {batch_size} and {shape}"
        )
    return shape


def _check_range(op: str, coords: Tensor, limits: tuple[int, ...]) -> None:
    if not len(coords):
        return
    low, high = torch.aminmax(coords, dim=0)
    names = "bzyx" if len(limits) == 4 else "byx"
    for name, least, most, limit in zip(names, low.tolist(), high.tolist(), limits, strict=True):
        if least < 0 or most >= limit:
            raise ValueError(
                f"{op}: coords column {name} must lie in [0, {limit}), "
                f"got values from {least} to {most}; check the order (b, z, y, x) "
                "and that spatial_shape is (z, y, x)"
            )


def _number(coords: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, bool]:
    """Keys of the cells, and whether they ascend strictly."""
    if backend_for("sites_from_coords", coords) == "cpu":
        from sparseops._numba.sort import number_cells

        numbers, ascending = number_cells(coords.numpy(), shape)
        return torch.from_numpy(numbers), bool(ascending)
    keys = site_keys(coords, shape)
    return keys, bool((keys[1:] > keys[:-1]).all())


def _sort_keys(keys: Tensor) -> tuple[Tensor, Tensor]:
    if backend_for("sites_from_coords", keys) == "cpu":
        from sparseops._numba.sort import sort_keys

        ascending, order = sort_keys(keys.numpy())
        return torch.from_numpy(ascending), torch.from_numpy(order)
    return torch.sort(keys, stable=True)
