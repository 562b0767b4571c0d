"""Weights of other sparse-convolution libraries in this package's layout [kz, ky, kx, cin, cout]."""

from jaxtyping import Float
from torch import Tensor


def weight_from_spconv(weight: Float[Tensor, "cout *kernel cin"]) -> Float[Tensor, "*kernel cin cout"]:
    """Convert a weight of spconv 2.2 or newer, [cout, kz, ky, kx, cin], with the axes in the same order.

    For a kernel of a single cell spconv multiplies by the buffer read as [cin, cout], not by its transpose;
    this conversion does the same, so that released checkpoints give the numbers they gave there. (Seen in
    spconv 2.3.8.)

    Raises:
        ValueError: not a weight of 2 or 3 spatial axes.

    Example:
        >>> import torch
        >>> weight_from_spconv(torch.zeros(32, 3, 3, 3, 16)).shape
        torch.Size([3, 3, 3, 16, 32])
    """
    if weight.ndim not in (4, 5):
        raise ValueError(
            "weight_from_spconv: weight must be [cout, kz, ky, kx, cin] or [cout, ky, kx, cin], "
            f"got {list(weight.shape)}"
        )
    kernel = weight.shape[1:-1]
    if all(size == 1 for size in kernel):
        return weight.reshape(*kernel, weight.shape[-1], weight.shape[0])
    return weight.movedim(0, -1)


def weight_to_spconv(weight: Float[Tensor, "*kernel cin cout"]) -> Float[Tensor, "cout *kernel cin"]:
    """Convert back; the inverse of `weight_from_spconv`, single-cell kernels included.

    Raises:
        ValueError: not a weight of 2 or 3 spatial axes.

    Example:
        >>> import torch
        >>> weight_to_spconv(torch.zeros(3, 3, 3, 16, 32)).shape
        torch.Size([32, 3, 3, 3, 16])
    """
    if weight.ndim not in (4, 5):
        raise ValueError(
            "weight_to_spconv: weight must be [kz, ky, kx, cin, cout] or [ky, kx, cin, cout], "
            f"got {list(weight.shape)}"
        )
    kernel = weight.shape[:-2]
    if all(size == 1 for size in kernel):
        return weight.reshape(weight.shape[-1], *kernel, weight.shape[-2])
    return weight.movedim(-1, 0)
