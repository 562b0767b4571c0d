"""Weights of other libraries in this package's layout [kz, ky, kx, cin, cout], or [ky, kx, cin, cout] in 2D.

Shapes do not tell layouts apart (cin may equal cout), so every library has functions of its own. The spatial
axes keep their order, that of the other library's coordinates; `weight_xyz_to_zyx` turns it around.
`convert_state_dict` converts a whole network.
"""

import math
from collections.abc import Sequence
from typing import Literal

from jaxtyping import Float
from torch import Tensor

SpconvLayout = Literal["KRSC", "RSKC", "RSCK"]


def weight_from_spconv(
    weight: Float[Tensor, "*axes"], *, layout: SpconvLayout = "KRSC", stride: int | Sequence[int] = 1
) -> Float[Tensor, "*kernel cin cout"]:
    """Convert a weight of spconv.

    For a kernel of a single cell spconv 2 multiplies by the buffer read as [cin, cout], not by its transpose;
    this conversion does the same, so that released checkpoints give the numbers they gave there. (Seen in
    spconv 2.3.8.) With a stride spconv runs its ordinary path, and the conversion is the ordinary one.

    Args:
        layout: `"KRSC"`, [cout, kz, ky, kx, cin]: spconv 2.2 or newer. `"RSKC"`, [kz, ky, kx, cout, cin]:
            spconv 2.0 and 2.1. `"RSCK"`, [kz, ky, kx, cin, cout]: spconv 1.
        stride: Of a strided layer; it matters for single cells only. Submanifold layers have 1.

    Raises:
        ValueError: not a weight of 2 or 3 spatial axes; an unknown layout.

    Example:
        >>> import torch
        >>> weight_from_spconv(torch.zeros(32, 3, 3, 3, 16)).shape
        torch.Size([3, 3, 3, 16, 32])
    """
    op = "weight_from_spconv"
    match layout:
        case "KRSC":
            _check_rank(op, weight, "[cout, kz, ky, kx, cin] or [cout, ky, kx, cin]")
            (cout, *kernel, cin), plain = weight.shape, weight.movedim(0, -1)
        case "RSKC":
            _check_rank(op, weight, "[kz, ky, kx, cout, cin] or [ky, kx, cout, cin]")
            (*kernel, cout, cin), plain = weight.shape, weight.transpose(-1, -2)
        case "RSCK":
            _check_rank(op, weight, "[kz, ky, kx, cin, cout] or [ky, kx, cin, cout]")
            return weight
        case _:
            raise ValueError(f"{op}: layout must be 'KRSC', 'RSKC' or 'RSCK', got {layout!r}")
    return weight.reshape(*kernel, cin, cout) if _reinterpreted(kernel, stride) else plain


def weight_to_spconv(
    weight: Float[Tensor, "*kernel cin cout"],
    *,
    layout: SpconvLayout = "KRSC",
    stride: int | Sequence[int] = 1,
) -> Float[Tensor, "*axes"]:
    """Convert back; the inverse of `weight_from_spconv`, single-cell kernels included.

    Raises:
        ValueError: not a weight of 2 or 3 spatial axes; an unknown layout.

    Example:
        >>> import torch
        >>> weight_to_spconv(torch.zeros(3, 3, 3, 16, 32)).shape
        torch.Size([32, 3, 3, 3, 16])
    """
    op = "weight_to_spconv"
    _check_rank(op, weight, "[kz, ky, kx, cin, cout] or [ky, kx, cin, cout]")
    *kernel, cin, cout = weight.shape
    match layout:
        case "KRSC":
            shape, plain = (cout, *kernel, cin), weight.movedim(-1, 0)
        case "RSKC":
            shape, plain = (*kernel, cout, cin), weight.transpose(-1, -2)
        case "RSCK":
            return weight
        case _:
            raise ValueError(f"{op}: layout must be 'KRSC', 'RSKC' or 'RSCK', got {layout!r}")
    return weight.reshape(shape) if _reinterpreted(kernel, stride) else plain


def weight_from_minkowski(
    weight: Float[Tensor, "*axes"], *, kernel_size: Sequence[int]
) -> Float[Tensor, "*kernel cin cout"]:
    """Convert a `kernel` of MinkowskiEngine 0.5, [volume, cin, cout] or, for a single cell, [cin, cout].

    Its offsets run along the first axis of the coordinates first.

    Args:
        kernel_size: Size per axis, in the order of the coordinate columns of the network (mostly x, y, z).

    Raises:
        ValueError: a weight that does not fit the kernel size.

    Example:
        >>> import torch
        >>> weight_from_minkowski(torch.zeros(27, 16, 32), kernel_size=(3, 3, 3)).shape
        torch.Size([3, 3, 3, 16, 32])
    """
    return _first_axis_fastest(_with_volume("weight_from_minkowski", weight, kernel_size), kernel_size)


def weight_to_minkowski(weight: Float[Tensor, "*kernel cin cout"]) -> Float[Tensor, "*axes"]:
    """Convert back; the inverse of `weight_from_minkowski`.

    Raises:
        ValueError: not a weight of 2 or 3 spatial axes.

    Example:
        >>> import torch
        >>> weight_to_minkowski(torch.zeros(3, 3, 3, 16, 32)).shape
        torch.Size([27, 16, 32])
    """
    _check_rank("weight_to_minkowski", weight, "[kz, ky, kx, cin, cout] or [ky, kx, cin, cout]")
    return _without_volume(weight_xyz_to_zyx(weight))


def weight_from_torchsparse(
    weight: Float[Tensor, "*axes"], *, kernel_size: Sequence[int]
) -> Float[Tensor, "*kernel cin cout"]:
    """Convert a `kernel` of torchsparse, [volume, cin, cout] or, for a single cell, [cin, cout].

    Its offsets run along the first axis of the coordinates first if the volume is odd, along the last axis
    first if it is even.

    Args:
        kernel_size: Size per axis, in the order of the coordinate columns of the network (mostly x, y, z).

    Raises:
        ValueError: a weight that does not fit the kernel size.

    Example:
        >>> import torch
        >>> weight_from_torchsparse(torch.zeros(8, 16, 32), kernel_size=(2, 2, 2)).shape
        torch.Size([2, 2, 2, 16, 32])
    """
    weight = _with_volume("weight_from_torchsparse", weight, kernel_size)
    if math.prod(kernel_size) % 2:
        return _first_axis_fastest(weight, kernel_size)
    return weight.reshape(*kernel_size, *weight.shape[-2:])


def weight_to_torchsparse(weight: Float[Tensor, "*kernel cin cout"]) -> Float[Tensor, "*axes"]:
    """Convert back; the inverse of `weight_from_torchsparse`.

    Raises:
        ValueError: not a weight of 2 or 3 spatial axes.

    Example:
        >>> import torch
        >>> weight_to_torchsparse(torch.zeros(1, 1, 1, 16, 32)).shape
        torch.Size([16, 32])
    """
    _check_rank("weight_to_torchsparse", weight, "[kz, ky, kx, cin, cout] or [ky, kx, cin, cout]")
    return _without_volume(weight_xyz_to_zyx(weight) if math.prod(weight.shape[:-2]) % 2 else weight)


def weight_from_dense(weight: Float[Tensor, "cout cin *kernel"]) -> Float[Tensor, "*kernel cin cout"]:
    """Convert a weight of torch's Conv2d or Conv3d (one group).

    Raises:
        ValueError: not a weight of 2 or 3 spatial axes.

    Example:
        >>> import torch
        >>> weight_from_dense(torch.nn.Conv3d(16, 32, 3).weight).shape
        torch.Size([3, 3, 3, 16, 32])
    """
    _check_rank("weight_from_dense", weight, "[cout, cin, kz, ky, kx] or [cout, cin, ky, kx]")
    return weight.movedim((1, 0), (-2, -1))


def weight_to_dense(weight: Float[Tensor, "*kernel cin cout"]) -> Float[Tensor, "cout cin *kernel"]:
    """Convert back; the inverse of `weight_from_dense`.

    Raises:
        ValueError: not a weight of 2 or 3 spatial axes.

    Example:
        >>> import torch
        >>> weight_to_dense(torch.zeros(3, 3, 3, 16, 32)).shape
        torch.Size([32, 16, 3, 3, 3])
    """
    _check_rank("weight_to_dense", weight, "[kz, ky, kx, cin, cout] or [ky, kx, cin, cout]")
    return weight.movedim((-2, -1), (1, 0))


def weight_xyz_to_zyx(weight: Float[Tensor, "*kernel cin cout"]) -> Float[Tensor, "*reversed cin cout"]:
    """Reverse the spatial axes, for a network whose coordinates are x y z (x y in 2D); its own inverse.

    Raises:
        ValueError: not a weight of 2 or 3 spatial axes.

    Example:
        >>> import torch
        >>> weight_xyz_to_zyx(torch.zeros(5, 3, 1, 16, 32)).shape
        torch.Size([1, 3, 5, 16, 32])
    """
    _check_rank("weight_xyz_to_zyx", weight, "[kx, ky, kz, cin, cout] or [kx, ky, cin, cout]")
    dims = weight.ndim - 2
    return weight.permute(*reversed(range(dims)), dims, dims + 1)


def _reinterpreted(kernel: Sequence[int], stride: int | Sequence[int]) -> bool:
    strides = [stride] if isinstance(stride, int) else stride
    return math.prod(kernel) == 1 and math.prod(strides) == 1


def _first_axis_fastest(weight: Tensor, kernel: Sequence[int]) -> Tensor:
    return weight_xyz_to_zyx(weight.reshape(*reversed(kernel), *weight.shape[-2:]))


def _with_volume(op: str, weight: Tensor, kernel_size: Sequence[int]) -> Tensor:
    volume = math.prod(kernel_size)
    fits = (weight.ndim == 3 and weight.shape[0] == volume) or (weight.ndim == 2 and volume == 1)
    if len(kernel_size) not in (2, 3) or not fits:
        raise ValueError(
            f"{op}: weight must be [{volume}, cin, cout] for a kernel of {tuple(kernel_size)} (2 or 3 axes), "
            f"got {list(weight.shape)}"
        )
    return weight.reshape(volume, *weight.shape[-2:])


def _without_volume(weight: Tensor) -> Tensor:
    flat = weight.reshape(-1, *weight.shape[-2:])
    return flat[0] if len(flat) == 1 else flat


def _check_rank(op: str, weight: Tensor, expected: str) -> None:
    if weight.ndim not in (4, 5):
        raise ValueError(f"{op}: weight must be {expected}, got {list(weight.shape)}")
