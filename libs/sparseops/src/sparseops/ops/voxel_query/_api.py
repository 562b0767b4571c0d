"""Public function of the voxel query: rules, checks and the choice of the back end."""

from jaxtyping import Bool, Float, Int
from torch import Tensor

from sparseops._checks import (
    HALF_AND_FLOAT32,
    INTEGERS,
    check_device,
    check_dtype,
    check_positive,
    check_shape,
)
from sparseops.ops.voxel_query import _ops


def voxel_query(
    centre_coords_bzyx: Int[Tensor, "m 4"],
    centres_xyz: Float[Tensor, "m 3"],
    sparse_coords_bzyx: Int[Tensor, "n 4"],
    voxel_xyz: Float[Tensor, "n 3"],
    *,
    max_range: tuple[int, int, int],
    radius: float,
    num_samples: int,
) -> tuple[Int[Tensor, "m s"], Bool[Tensor, " m"]]:
    """Find the first `num_samples` sites around each centre: rows [m, s] (int64) and an empty mask [m].

    For every centre the cells of the same sample within +-`max_range` of its own cell are scanned, z slowest,
    x fastest, ascending; a site counts if the distance of its `voxel_xyz` to the centre is at most the radius
    (squared distances in float32, which half precision is converted to; the limit included). Fewer hits are
    padded with the first one; a centre without any has row 0 everywhere and True in the mask. Of sites in the
    same cell only the lowest row counts. Cells may be negative; on CUDA they have to lie within +-2^30. A
    centre with NaN finds nothing, a site with NaN is never found. No gradient.

    Sites may come in any order (sorted ones, as every `SparseTensor` of this library has them after a strided
    layer, save a sort). There is no dense table: memory is O(n + m s) whatever the extent of the grid.

    Source: Voxel R-CNN, section 3.2.

    Args:
        centre_coords_bzyx: Cell of each centre, in the grid of the sites.
        max_range: Cells to look at on either side along z, y, x.
        radius: In the unit of the coordinates, metres as a rule.

    Raises:
        TypeError: Cells that are not integers, coordinates that are not float32 or half precision.
        ValueError: Wrong shape, different devices, a negative range, or a limit that is not positive.

    Example:
        >>> import torch
        >>> sites = torch.tensor([[0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 9]])
        >>> xyz = torch.tensor([[0.5, 0.5, 0.5], [1.5, 0.5, 0.5], [9.5, 0.5, 0.5]])
        >>> limits = {"max_range": (1, 1, 1), "radius": 1.0, "num_samples": 3}
        >>> rows, empty = voxel_query(sites[1:2], xyz[1:2], sites, xyz, **limits)
        >>> rows.tolist(), empty.tolist()
        ([[0, 1, 0]], [False])
    """
    op = "voxel_query"
    check_shape(op, "centre_coords_bzyx", centre_coords_bzyx, ("M", 4))
    check_shape(op, "centres_xyz", centres_xyz, (len(centre_coords_bzyx), 3))
    check_shape(op, "sparse_coords_bzyx", sparse_coords_bzyx, ("N", 4))
    check_shape(op, "voxel_xyz", voxel_xyz, (len(sparse_coords_bzyx), 3))
    check_dtype(op, "centre_coords_bzyx", centre_coords_bzyx, INTEGERS)
    check_dtype(op, "sparse_coords_bzyx", sparse_coords_bzyx, INTEGERS)
    check_dtype(op, "centres_xyz", centres_xyz, HALF_AND_FLOAT32)
    check_dtype(op, "voxel_xyz", voxel_xyz, HALF_AND_FLOAT32)
    check_device(
        op,
        ("centres_xyz", centres_xyz),
        ("centre_coords_bzyx", centre_coords_bzyx),
        ("sparse_coords_bzyx", sparse_coords_bzyx),
        ("voxel_xyz", voxel_xyz),
    )
    if min(max_range) < 0:
        raise ValueError(f"{op}: max_range must not be negative, got {max_range}")
    check_positive(op, "radius", radius)
    check_positive(op, "num_samples", num_samples)
    return _ops.voxel_query(
        centre_coords_bzyx,
        centres_xyz.detach().float(),
        sparse_coords_bzyx,
        voxel_xyz.detach().float(),
        list(max_range),
        radius,
        num_samples,
    )
