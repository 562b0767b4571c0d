"""Public function of the down-sampling: a few element-wise steps, so plain PyTorch on every device."""

import torch
from jaxtyping import Shaped
from torch import Tensor

from sparseops._checks import check_positive, check_shape


def downsample_sparse_map(x: Shaped[Tensor, "b c h w"], factor: int) -> Shaped[Tensor, "b c h2 w2"]:
    """Return, for every cell of `factor` by `factor` pixels, the last of them that is not zero.

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
    check_positive("downsample_sparse_map", "factor", factor)
    height, width = x.shape[2:]
    if height % factor or width % factor:
        raise ValueError(
            f"downsample_sparse_map: height and width must be divisible by the factor {factor}, "
            f"got {height} x {width}; pad the map with zeros"
        )
    coarse = x[:, :, ::factor, ::factor]
    for offset in range(1, factor * factor):
        pixel = x[:, :, offset // factor :: factor, offset % factor :: factor]
        coarse = torch.where(pixel != 0, pixel, coarse)
    return coarse.contiguous()
