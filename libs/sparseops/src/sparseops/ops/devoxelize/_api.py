"""Public functions of the trilinear interpolation between sites: rules, checks, choice of the back end."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sparseops._checks import HALF_AND_FLOATS, check_device, check_dtype, check_shape, wide
from sparseops._values import batch_column
from sparseops.ops.devoxelize import _ops
from sparseops.ops.weighted_sum._api import checked_weighted_sum
from sparseops.sites import Sites, site_keys

_TINY = 1e-8


def trilinear_weights(
    points_bzyx: Float[Tensor, "n 4"], sites: Sites, *, normalize: bool = True
) -> tuple[Int[Tensor, "n 8"], Float[Tensor, "n 8"]]:
    """Find the sites on the eight whole coordinates around each point, and their trilinear weights.

    Returns rows of the sites (int64, -1 where there is none) and weights, both [n, 8]. The corners are
    floor(point) + (dx, dy, dz) for 000, 001, 010, 011, 100, ...: z fastest. A weight is the product of the
    distances to the opposite corner along x, y and z, and 0 without a site. `normalize` divides the weights
    by their sum + 1e-8, so that they add up to 1 although sites are missing; all stay 0 if none is there.

    Coordinates are in cells of the sites: for sites of stride s divide by s. A site has its value at its own
    whole coordinates, as in the published point-voxel networks; to have it at the centre of its cell, take
    0.5 from the points. Points that are not finite or outside the grid have no corners. Half precision is
    computed, and gives weights, in float32. The gradient goes to z, y, x of the points; at whole coordinates,
    where the weights have a kink, it is the one towards larger coordinates. O((n + m) log m).

    Source: SPVNAS (trilinear devoxelisation).

    Args:
        points_bzyx: Sample, then z, y, x in cells, in the frame of the sites.

    Raises:
        TypeError: Points that are not floating point.
        ValueError: Wrong shape, different devices, sites of a 2D grid, or a column 0 that does not hold whole
            numbers of samples of the batch (checked on the CPU only, as a GPU would have to wait; there such
            a row has no corners).

    Example:
        >>> import torch
        >>> from sparseops import sites_from_coords
        >>> coords = torch.tensor([[0, 0, 0, 0], [0, 1, 0, 0]], dtype=torch.int32)
        >>> sites = sites_from_coords(coords, spatial_shape=(2, 2, 2), batch_size=1)
        >>> idx, weights = trilinear_weights(torch.tensor([[0.0, 0.25, 0.0, 0.5]]), sites, normalize=False)
        >>> idx.tolist(), weights.tolist()
        ([[0, 1, -1, -1, -1, -1, -1, -1]], [[0.375, 0.125, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]])
    """
    op = "trilinear_weights"
    check_shape(op, "points_bzyx", points_bzyx, ("N", 4))
    check_dtype(op, "points_bzyx", points_bzyx, HALF_AND_FLOATS)
    check_device(op, ("points_bzyx", points_bzyx), ("sites", sites.coords))
    if sites.dims != 3:
        raise ValueError(f"{op}: sites must be of a 3D grid, got spatial_shape {sites.spatial_shape}")
    keys = site_keys(sites.coords[sites.order], sites.spatial_shape)
    sample = batch_column(points_bzyx.detach(), sites.batch_size, op, wait=False)
    points = wide(points_bzyx)
    points = torch.cat([sample[:, None].to(points.dtype), points[:, 1:]], dim=1)
    idx, weights = _ops.trilinear_corners(points, keys, sites.order, [sites.batch_size, *sites.spatial_shape])
    return idx, weights / (weights.sum(1, keepdim=True) + _TINY) if normalize else weights


def trilinear_devoxelize(
    features: Float[Tensor, "m c"], idx: Int[Tensor, "n 8"], weights: Float[Tensor, "n 8"]
) -> Float[Tensor, "n c"]:
    """Interpolate features of sites at points: the sum over eight corners of weight * feature; [n, c].

    `idx` and `weights` are those of `trilinear_weights`; corners with row -1 add nothing. Gradients and types
    as `weighted_sum`: to the features, the same in every run, and to weights that need one.

    Raises:
        TypeError: Features or weights that are not floating point, rows that are not integers.
        ValueError: Wrong shape or different devices.
        IndexError: A row of m or more (checked on the CPU; elsewhere such a row adds nothing).

    Example:
        >>> import torch
        >>> idx, weights = torch.full((1, 8), -1), torch.zeros(1, 8)
        >>> idx[0, :2], weights[0, :2] = torch.tensor([0, 1]), torch.tensor([0.75, 0.25])
        >>> trilinear_devoxelize(torch.tensor([[8.0], [16.0]]), idx, weights).tolist()
        [[10.0]]
    """
    return checked_weighted_sum("trilinear_devoxelize", features, idx, weights, k=8)
