"""Sparse tensors from raw rows: several samples to one batch, several rows on one cell to one row."""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float, Int32, Int64
from torch import Tensor

from sparseops._checks import HALF_AND_FLOATS, check_device, check_dtype, check_shape
from sparseops._values import distinct
from sparseops.ops.scatter import scatter_max, scatter_mean, scatter_sum
from sparseops.sites import Sites, cell_keys, check_coords, coords_from_keys
from sparseops.tensor import SparseTensor


def sparse_collate(
    samples: Sequence[tuple[Int32[Tensor, "_ dims"], Float[Tensor, "_ c"]]], *, spatial_shape: tuple[int, ...]
) -> SparseTensor:
    """Make one sparse tensor of (coordinates, features) per sample: z y x or y x, without the batch column.

    Samples may be empty. Rows keep their order.

    Raises:
        TypeError: coordinates that are not int32.
        ValueError: no samples; coordinates and features of different lengths; cells outside the grid or
            twice in a sample (`merge_duplicates` first).

    Example:
        >>> samples = [(torch.tensor([[0, 1]], dtype=torch.int32), torch.ones(1, 2)) for _ in range(2)]
        >>> sparse_collate(samples, spatial_shape=(1, 3)).coords.tolist()
        [[0, 0, 1], [1, 0, 1]]
    """
    op, dims = "sparse_collate", len(spatial_shape)
    if not samples:
        raise ValueError(f"{op}: samples must hold at least one sample, got none")
    columns = []
    for number, (coords, features) in enumerate(samples):
        check_dtype(op, f"coords of sample {number}", coords, (torch.int32,))
        check_shape(op, f"coords of sample {number}", coords, ("n", dims))
        check_shape(op, f"features of sample {number}", features, (len(coords), "c"))
        columns.append(torch.nn.functional.pad(coords, (1, 0), value=number))
    features = torch.cat([features for _, features in samples])
    return SparseTensor(features, torch.cat(columns), tuple(spatial_shape), len(samples))


def merge_duplicates(
    features: Float[Tensor, "n c"],
    coords: Int32[Tensor, "n axes"],
    *,
    spatial_shape: tuple[int, ...],
    batch_size: int,
    reduce: Literal["sum", "mean", "max"] = "mean",
) -> tuple[SparseTensor, Int64[Tensor, " n"]]:
    """Make one row of all rows on a cell; return the tensor, and the row that every input row went to.

    Rows are sorted by (b, z, y, x). Ties of the maximum: the first row gets the gradient. Half precision is
    reduced in float32. Differentiable. Waits for the device.

    Raises:
        TypeError: `coords` is not int32, or `features` is not floating point.
        ValueError: an unknown `reduce`, and what `sites_from_coords` refuses except for repeated cells.

    Example:
        >>> coords = torch.tensor([[0, 0, 2], [0, 0, 1], [0, 0, 2]], dtype=torch.int32)
        >>> rows = torch.tensor([[1.0], [2.0], [5.0]])
        >>> tensor, row = merge_duplicates(rows, coords, spatial_shape=(1, 3), batch_size=1)
        >>> tensor.features.tolist(), row.tolist()
        ([[2.0], [3.0]], [1, 0, 1])
    """
    op = "merge_duplicates"
    if reduce not in ("sum", "mean", "max"):
        raise ValueError(f"{op}: reduce must be 'sum', 'mean' or 'max', got {reduce!r}")
    check_dtype(op, "features", features, HALF_AND_FLOATS)
    shape = check_coords(op, coords, tuple(spatial_shape), batch_size)
    check_shape(op, "features", features, (len(coords), "c"))
    check_device(op, ("features", features), ("coords", coords))
    keys, row = distinct(cell_keys(coords, list(shape), batch_size, op))
    if reduce == "max":
        merged = scatter_max(features, row, dim_size=keys.shape[0])[0]
    else:
        merged = (scatter_sum if reduce == "sum" else scatter_mean)(features, row, dim_size=keys.shape[0])
    order = torch.arange(keys.shape[0], device=keys.device)
    sites = Sites(coords_from_keys(keys, shape), shape, batch_size, order)
    return SparseTensor.from_sites(merged, sites), row
