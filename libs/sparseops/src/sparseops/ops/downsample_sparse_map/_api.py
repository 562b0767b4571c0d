"""Public function of the down-sampling: a few element-wise steps, so plain PyTorch on every device."""

import torch
from jaxtyping import Shaped
from torch import Tensor

from sparseops._checks import check_positive, check_shape


def downsample_sparse_map(x: Shaped[Tensor, "b c h w"], downscale_factor: int) -> Shaped[Tensor, "b c h2 w2"]:
    """Return the last pixel that is not zero of every cell, a square of `downscale_factor` pixels a side.

    Last in row-major order; 0 (False) for a cell without any. Nothing is averaged, so sparse depths and
    labels keep their values. Any type, booleans included; NaN is not zero. The same result on every device
    and in every run. Differentiable: the gradient goes to the pixel that was taken.

    Source: Sparse Beats Dense (arXiv 2312.00844), down-sampling of radar, labels and label masks in
    model.py, where the order of several writes to one cell is left to the device.

    Raises:
        ValueError: Not four axes, a factor that is not positive, or height or width not divisible by it.

    Example:
        >>> depth = torch.tensor([[[[1.0, 2.0, 0.0, 0.0], [3.0, 0.0, 0.0, 0.0]]]])
        >>> downsample_sparse_map(depth, 2)
        tensor([[[[3., 0.]]]])
    """
    check_shape("downsample_sparse_map", "x", x, ("B", "C", "H", "W"))
    check_positive("downsample_sparse_map", "downscale_factor", downscale_factor)
    height, width = x.shape[2:]
    if height % downscale_factor or width % downscale_factor:
        raise ValueError(
            "downsample_sparse_map: height and width must be divisible by downscale_factor "
            f"{downscale_factor}, got {height} x {width}; pad the map with zeros"
        )
    step = downscale_factor
    coarse = x[:, :, ::step, ::step]
    for offset in range(1, step * step):
        pixel = x[:, :, offset // step :: step, offset % step :: step]
        coarse = torch.where(pixel != 0, pixel, coarse)
    return coarse.contiguous()
