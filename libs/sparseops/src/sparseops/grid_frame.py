"""Bounded grids around whole coordinates of either sign, without a range given beforehand."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Int, Int32, Int64
from torch import Tensor

from sparseops._checks import INTEGERS, check_dtype, check_positive, check_tensor
from sparseops.sites import MAX_CELLS

_MAX_EDGE = 2**31 - 1


@dataclass(frozen=True, slots=True)
class GridFrame:
    """Where a grid lies among whole coordinates: cell 0 of every axis is coordinate `origin`.

    Libraries without a range (MinkowskiEngine) keep coordinates of either sign in units of the input. The
    cells of a `SparseTensor` count from 0, in units of its own stride. `around` finds a grid between the two
    on which a network of strided and transposed layers computes the same.

    Example:
        >>> coords = torch.tensor([[0, -3, 5, 40], [1, 2, -7, 8]])
        >>> frame = GridFrame.around(coords, batch_size=2, coarsest=8)
        >>> frame
        GridFrame(origin=(-16, -16, 0), spatial_shape=(32, 32, 56))
        >>> frame.cells(coords).tolist()
        [[0, 13, 21, 40], [1, 18, 9, 8]]
        >>> frame.coords(frame.cells(coords, stride=8), stride=8).tolist()
        [[0, -8, 0, 40], [1, 0, -8, 8]]
    """

    origin: tuple[int, ...]
    """Coordinate of cell 0, z y x or y x: a multiple of the coarsest stride."""
    spatial_shape: tuple[int, ...]
    """Cells along z y x or y x at stride 1: a multiple of the coarsest stride."""

    @classmethod
    def around(cls, coords: Int[Tensor, "n axes"], *, batch_size: int, coarsest: int) -> GridFrame:
        """Return the smallest such grid that leaves one coarsest cell free on all sides.

        Generative transposed layers write there. One grid serves the whole batch; without coordinates it is
        two coarsest cells wide. Waits for the device.

        Args:
            coords: b z y x or b y x, of either sign; column 0, the sample, is not looked at.
            coarsest: Largest stride of the network. Cells of every stride up to it stay those of the
                coordinates, as the origin is a multiple.

        Raises:
            TypeError: `coords` is not int32 or int64.
            ValueError: wrong number of axes, a batch size or stride below 1, coordinates beyond 32 bits, or a
                grid of more cells than can be numbered: single coordinates lie far from the others.
        """
        op = "GridFrame.around"
        check_dtype(op, "coords", coords, INTEGERS)
        if coords.ndim != 2 or coords.shape[1] not in (3, 4):
            raise ValueError(f"{op}: coords must be [n, 4] (b z y x) or [n, 3], got {list(coords.shape)}")
        check_positive(op, "batch_size", batch_size)
        check_positive(op, "coarsest", coarsest)
        if not len(coords):
            axes = coords.shape[1] - 1
            return cls((-coarsest,) * axes, (2 * coarsest,) * axes)
        low, high = (bound.tolist() for bound in torch.aminmax(coords[:, 1:], dim=0))
        origin = tuple((least // coarsest - 1) * coarsest for least in low)
        shape = tuple(
            (most // coarsest + 2) * coarsest - first for most, first in zip(high, origin, strict=True)
        )
        too_long = max(shape) > _MAX_EDGE or min(low) < -_MAX_EDGE or max(high) > _MAX_EDGE
        if too_long or batch_size * math.prod(shape) > MAX_CELLS:
            raise ValueError(
                f"{op}: coords from {low} to {high} make a grid of {batch_size} x {shape} cells, more than "
                "can be numbered (2**31 - 1 on an axis, 2**62 in all); remove points that lie far from the "
                "others, or take larger voxels"
            )
        return cls(origin, shape)

    def cells(self, coords: Int[Tensor, "n axes"], *, stride: int = 1) -> Int32[Tensor, "n axes"]:
        """Return the cell of every coordinate at a stride: floor((coordinate - origin) / stride)."""
        check_tensor("GridFrame.cells", "coords", coords)
        shifted = coords[:, 1:].long() - torch.tensor(self.origin, device=coords.device)
        cells = shifted.div(stride, rounding_mode="floor")
        return torch.cat([coords[:, :1].long(), cells], dim=1).int()

    def coords(self, cells: Int[Tensor, "n axes"], *, stride: int = 1) -> Int64[Tensor, "n axes"]:
        """Return the lowest coordinate of every cell of a stride: origin + cell * stride."""
        check_tensor("GridFrame.coords", "cells", cells)
        coords = cells[:, 1:].long() * stride + torch.tensor(self.origin, device=cells.device)
        return torch.cat([cells[:, :1].long(), coords], dim=1)
