"""Sparse max pooling along a kernel map."""

from typing import Literal

from jaxtyping import Float
from torch import Tensor

from sparseops._backend import backend_for
from sparseops._checks import HALF_AND_FLOATS, check_device, check_dtype, check_shape
from sparseops.ops.kernel_map import KernelMap
from sparseops.ops.sparse_max_pool import _ops


def sparse_max_pool(
    features: Float[Tensor, "n c"],
    *,
    kernel_map: KernelMap,
    clamp_zero: bool = False,
    tie: Literal["first", "all"] = "first",
) -> Float[Tensor, "m c"]:
    """Take the maximum of the active inputs of every output site, channel by channel.

    Absent sites do not take part, so the result may be negative. An output row without pairs (possible only
    with maps onto given sites and, for even kernels, with torchsparse's rule) is -inf. NaN inputs win, as in
    torch. No input rows give no output rows.

    Args:
        clamp_zero: Return `max(0, maximum)`, the value of spconv, whose output starts at zero.
        tie: Which of several equal inputs gets the gradient: the first in offset order, or all of them,
            each the full gradient, as in spconv.

    Raises:
        ValueError: features do not fit the map, or lie on another device; an unknown `tie`.
        TypeError: features are not floating point.

    Example:
        >>> import torch
        >>> from sparseops import sites_from_coords, strided_map
        >>> coords = torch.tensor([[0, 0, 0], [0, 0, 1]], dtype=torch.int32)
        >>> line = sites_from_coords(coords, spatial_shape=(1, 2), batch_size=1)
        >>> plan = strided_map(line, kernel_size=(1, 2), stride=2)
        >>> sparse_max_pool(torch.tensor([[-3.0, 1.0], [-2.0, 0.0]]), kernel_map=plan).tolist()
        [[-2.0, 1.0]]
    """
    check_dtype("sparse_max_pool", "features", features, HALF_AND_FLOATS)
    check_shape("sparse_max_pool", "features", features, (kernel_map.sites_in.rows, "c"))
    check_device("sparse_max_pool", ("features", features), ("kernel_map", kernel_map.sites_in.coords))
    if tie not in ("first", "all"):
        raise ValueError(f"sparse_max_pool: tie must be 'first' or 'all', got {tie!r}")
    if backend_for("sparse_max_pool", features) == "triton":
        tables = kernel_map.table.rows, kernel_map.backward_for(features).table.rows
        best, _ = _ops.sparse_max_pool_table(features.contiguous(), *tables, tie)
    else:
        pairs = kernel_map.pairs_both_ways(features)
        best, _ = _ops.sparse_max_pool(features.contiguous(), *pairs, kernel_map.sites_out.rows, tie)
    return best.clamp_min(0) if clamp_zero else best
