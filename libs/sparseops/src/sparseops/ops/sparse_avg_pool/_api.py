"""Sparse average pooling along a kernel map."""

from typing import Literal

from jaxtyping import Float
from torch import Tensor

from sparseops._backend import backend_for
from sparseops._checks import HALF_AND_FLOATS, check_device, check_dtype, check_shape, wide
from sparseops.ops.kernel_map import KernelMap
from sparseops.ops.sparse_avg_pool import _ops


def sparse_avg_pool(
    features: Float[Tensor, "n c"],
    *,
    kernel_map: KernelMap,
    divide_by: Literal["active", "kernel"] = "active",
) -> Float[Tensor, "m c"]:
    """Average the active inputs of every output site, channel by channel.

    Sums are taken in float32 (float64 for float64 inputs) in the order of the offsets. A row without pairs is
    zero. No input rows give no output rows, or rows of zeros.

    Args:
        divide_by: `"active"`: the number of active inputs, as MinkowskiEngine's average pooling. `"kernel"`:
            the number of cells of the kernel, as if absent cells were zeros; it is the dense average pooling
            of torch with `count_include_pad=True`.

    Raises:
        ValueError: features do not fit the map, or lie on another device; an unknown `divide_by`.
        TypeError: features are not floating point.

    Example:
        >>> import torch
        >>> from sparseops import sites_from_coords, strided_map
        >>> coords = torch.tensor([[0, 0, 0], [0, 0, 1], [0, 0, 3]], dtype=torch.int32)
        >>> line = sites_from_coords(coords, spatial_shape=(1, 4), batch_size=1)
        >>> plan = strided_map(line, kernel_size=(1, 2), stride=(1, 2))
        >>> sparse_avg_pool(torch.tensor([[1.0], [3.0], [6.0]]), kernel_map=plan).tolist()
        [[2.0], [6.0]]
        >>> sparse_avg_pool(torch.tensor([[1.0], [3.0], [6.0]]), kernel_map=plan, divide_by="kernel").tolist()
        [[2.0], [3.0]]
    """
    op = "sparse_avg_pool"
    check_dtype(op, "features", features, HALF_AND_FLOATS)
    check_shape(op, "features", features, (kernel_map.sites_in.rows, "c"))
    check_device(op, ("features", features), ("kernel_map", kernel_map.sites_in.coords))
    if divide_by not in ("active", "kernel"):
        raise ValueError(f"{op}: divide_by must be 'active' or 'kernel', got {divide_by!r}")
    total = _sum(wide(features).contiguous(), kernel_map)
    if divide_by == "kernel":
        return (total / kernel_map.window.volume).to(features.dtype)
    return (total / kernel_map.inputs_per_row.clamp(min=1)[:, None]).to(features.dtype)


def _sum(features: Tensor, plan: KernelMap) -> Tensor:
    if backend_for("sparse_avg_pool", features) == "triton":
        return _ops.pool_sum_table(features, plan.table.rows, plan.backward_for(features).table.rows)
    return _ops.pool_sum(features, *plan.pairs_both_ways(features), plan.sites_out.rows)
