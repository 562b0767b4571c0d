"""Sparse convolution along a kernel map."""

import torch
from jaxtyping import Float
from torch import Tensor

from sparseops._backend import backend_for
from sparseops._checks import HALF_AND_FLOATS, check_device, check_dtype, check_shape
from sparseops.ops.kernel_map import KernelMap
from sparseops.ops.sparse_conv import _ops


def sparse_conv(
    features: Float[Tensor, "n cin"],
    weight: Float[Tensor, "*kernel cin cout"],
    *,
    kernel_map: KernelMap,
    bias: Float[Tensor, " cout"] | None = None,
) -> Float[Tensor, "m cout"]:
    """Convolve feature rows along a kernel map: submanifold, strided, inverse and transposed alike.

    Output row o is `bias + sum over the pairs (i, o, k) of features[i] @ weight[k]`: a cross-correlation, as
    in torch. Rows without pairs get the bias; no input rows give no or bias-only rows, and gradients of zero.
    Differentiable once with respect to features, weight and bias. Sums are taken in float32 (float64 for
    float64 inputs) and in the order of the map, so results do not depend on the number of threads. On a GPU
    the order of sums depends on sizes and on the kernel configuration tuned for them on that machine
    (`SPARSEOPS_AUTOTUNE=0` takes a fixed one), not on the run; float32 is exact unless PyTorch allows TF32.
    Under autocast the inputs are cast to its dtype on a GPU and to float32 on the CPU; float64 stays, as in
    torch.

    Args:
        weight: [kz, ky, kx, cin, cout], or [ky, kx, cin, cout] on a 2D grid.
        kernel_map: From `submanifold_map`, `strided_map`, `transposed_map`, or the `.transposed` of one.

    Raises:
        ValueError: shapes that do not fit the map or each other, or tensors on different devices.
        TypeError: a dtype that is not floating point, or that differs between the inputs.

    Example:
        >>> from sparseops import sites_from_coords, submanifold_map
        >>> coords = torch.tensor([[0, 0, 0], [0, 0, 1]], dtype=torch.int32)
        >>> line = sites_from_coords(coords, spatial_shape=(1, 4), batch_size=1)
        >>> plan = submanifold_map(line, kernel_size=(1, 3))
        >>> sparse_conv(torch.tensor([[1.0], [10.0]]), torch.ones(1, 3, 1, 1), kernel_map=plan).tolist()
        [[11.0], [11.0]]
    """
    features, weight, bias = _autocast(features, weight, bias)
    _check(features, weight, bias, kernel_map)
    flat = weight.reshape(kernel_map.window.volume, *weight.shape[-2:])
    if kernel_map.mirrored and kernel_map.window.volume == 1:
        return _rows_by_matrix(features, flat[0], bias)
    if backend_for("sparse_conv", features) == "triton":
        return _along_table(features.contiguous(), flat, bias, kernel_map)
    pairs = kernel_map.pairs_both_ways(features)
    return _ops.sparse_conv(features.contiguous(), flat, bias, *pairs, kernel_map.sites_out.rows)


def _rows_by_matrix(features: Tensor, matrix: Tensor, bias: Tensor | None) -> Tensor:
    # Autocast has been seen to already; it would choose another type than for larger kernels.
    with torch.autocast(features.device.type, enabled=False):
        return torch.nn.functional.linear(features, matrix.T, bias)


def _along_table(features: Tensor, weight: Tensor, bias: Tensor | None, kernel_map: KernelMap) -> Tensor:
    grad = torch.is_grad_enabled()
    plan = [kernel_map.table.rows, *kernel_map.table.schedule]
    back: list[Tensor] = []
    if grad and features.requires_grad:
        back = [kernel_map.transposed.table.rows, *kernel_map.transposed.table.schedule]
    pairs = kernel_map.table.pairs_by_offset if grad and weight.requires_grad else []
    return _ops.sparse_conv_table(features, weight, bias, plan, back, pairs)


def _check(features: Tensor, weight: Tensor, bias: Tensor | None, kernel_map: KernelMap) -> None:
    kernel = kernel_map.window.kernel_size[-kernel_map.sites_in.dims :]
    check_dtype("sparse_conv", "features", features, HALF_AND_FLOATS)
    check_shape("sparse_conv", "features", features, (kernel_map.sites_in.rows, "cin"))
    check_shape("sparse_conv", "weight", weight, (*kernel, features.shape[1], "cout"))
    named = [("features", features), ("kernel_map", kernel_map.sites_in.coords), ("weight", weight)]
    check_dtype("sparse_conv", "weight", weight, (features.dtype,))
    if bias is not None:
        check_shape("sparse_conv", "bias", bias, (weight.shape[-1],))
        check_dtype("sparse_conv", "bias", bias, (features.dtype,))
        named.append(("bias", bias))
    check_device("sparse_conv", *named)


def _autocast(features: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    device = features.device.type
    if not torch.is_autocast_enabled(device):
        return features, weight, bias
    # No CPU kernel gains from half precision, and float32 is what its sums need anyway.
    dtype = torch.float32 if device == "cpu" else torch.get_autocast_dtype(device)

    def cast(tensor: Tensor) -> Tensor:
        return tensor if tensor.dtype == torch.float64 else tensor.to(dtype)

    return cast(features), cast(weight), None if bias is None else cast(bias)
