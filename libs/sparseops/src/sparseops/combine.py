"""Sparse tensors from sparse tensors: fewer rows, sums on the union of sites, more channels."""

import torch
from jaxtyping import Bool
from torch import Tensor

from sparseops._checks import check_device, check_dtype, check_shape
from sparseops._values import distinct, true_rows
from sparseops.sites import Sites, coords_from_keys, site_keys
from sparseops.tensor import SparseTensor


def prune(tensor: SparseTensor, keep: Bool[Tensor, " n"]) -> SparseTensor:
    """Keep the marked rows, in their order, on the same grid (MinkowskiEngine's pruning).

    Keeping none gives a tensor without rows, which every layer takes. Differentiable: rows that go get a
    gradient of zero. The kernel maps of the new sites live as long as what is made from it, not as long as
    `tensor`. Waits for the device.

    Raises:
        TypeError: `keep` is not boolean.
        ValueError: `keep` does not have one entry per row, or lies on another device.

    Example:
        >>> coords = torch.tensor([[0, 0, 2], [0, 0, 0], [0, 0, 1]], dtype=torch.int32)
        >>> tensor = SparseTensor(torch.tensor([[1.0], [2.0], [3.0]]), coords, (1, 3), 1)
        >>> prune(tensor, tensor.features[:, 0] < 3).coords.tolist()
        [[0, 0, 2], [0, 0, 0]]
    """
    check_dtype("prune", "keep", keep, (torch.bool,))
    check_shape("prune", "keep", keep, (tensor.sites.rows,))
    check_device("prune", ("keep", keep), ("tensor", tensor.features))
    sites, rows = tensor.sites, true_rows(keep)
    # The kept rows stay in ascending order; only their numbers shrink.
    order = sites.order[true_rows(keep[sites.order])]
    order = (keep.cumsum(0) - 1)[order]
    kept = Sites(sites.coords[rows], sites.spatial_shape, sites.batch_size, order)
    return SparseTensor.from_sites(tensor.features[rows], kept)


def union_add(first: SparseTensor, *others: SparseTensor) -> SparseTensor:
    """Add tensors of one grid; absent cells count as zero. Differentiable.

    The result has every cell that one of them has, sorted by (b, z, y, x), and kernel maps of its own; if all
    lie on the same `Sites` object it stays there. Sums are taken in the order of the arguments. Waits for the
    device.

    Raises:
        TypeError: features of different types.
        ValueError: different grids, batch sizes, channels or devices.

    Example:
        >>> left, right = (torch.tensor([[0, 0, x], [0, 0, x + 1]], dtype=torch.int32) for x in (0, 1))
        >>> rows = torch.tensor([[1.0], [2.0]])
        >>> total = union_add(SparseTensor(rows, left, (1, 3), 1), SparseTensor(rows * 10, right, (1, 3), 1))
        >>> total.features.flatten().tolist()
        [1.0, 12.0, 20.0]
    """
    tensors = (first, *others)
    _check_alike("union_add", tensors)
    if all(tensor.sites is first.sites for tensor in others):
        return first.replace(sum((tensor.features for tensor in others), first.features))
    grid, batch_size = first.spatial_shape, first.batch_size
    keys, _ = distinct(torch.cat([tensor.sites.sorted_keys for tensor in tensors]))
    total = first.features.new_zeros(keys.shape[0], first.features.shape[1])
    for tensor in tensors:
        rows = torch.searchsorted(keys, site_keys(tensor.coords, grid))
        total = total.index_add(0, rows, tensor.features)
    order = torch.arange(keys.shape[0], device=keys.device)
    sites = Sites(coords_from_keys(keys, grid), grid, batch_size, order)
    return SparseTensor.from_sites(total, sites)


def sparse_cat(first: SparseTensor, *others: SparseTensor) -> SparseTensor:
    """Put the channels of tensors on the same sites side by side. Differentiable.

    Raises:
        ValueError: the tensors do not share one `Sites` object (equal cells in another order do not count).

    Example:
        >>> tensor = SparseTensor(torch.ones(1, 2), torch.zeros((1, 3), dtype=torch.int32), (1, 3), 1)
        >>> sparse_cat(tensor, tensor.replace(torch.zeros(1, 3))).features.tolist()
        [[1.0, 1.0, 0.0, 0.0, 0.0]]
    """
    for number, tensor in enumerate(others, start=1):
        if tensor.sites is not first.sites:
            raise ValueError(
                f"sparse_cat: tensor {number} must lie on the Sites object of tensor 0; "
                "bring its rows there with sparseops.lookup"
            )
    return first.replace(torch.cat([tensor.features for tensor in (first, *others)], dim=1))


def _check_alike(op: str, tensors: tuple[SparseTensor, ...]) -> None:
    first = tensors[0]
    grid, channels = (first.batch_size, *first.spatial_shape), first.features.shape[1]
    for number, tensor in enumerate(tensors[1:], start=1):
        if (tensor.batch_size, *tensor.spatial_shape) != grid:
            raise ValueError(
                f"{op}: tensor {number} must have the batch_size and spatial_shape of tensor 0, "
                f"{grid[0]} and {grid[1:]}, got {tensor.batch_size} and {tensor.spatial_shape}"
            )
        check_shape(op, f"features of tensor {number}", tensor.features, ("n", channels))
        check_dtype(op, f"features of tensor {number}", tensor.features, (first.features.dtype,))
        check_device(op, ("tensor 0", first.features), (f"tensor {number}", tensor.features))
