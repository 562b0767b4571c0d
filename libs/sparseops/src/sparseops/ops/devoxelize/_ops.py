"""Registration of the corners around points, and of the gradient of their weights, with PyTorch.

On GPUs too the search of sorted keys by PyTorch is the kernel of choice, so there is no other.
"""

from typing import Any

import torch
from torch import Tensor

from sparseops._operator import dispatched, operator
from sparseops.ops.devoxelize import _reference


def _fake(points_bzyx: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    n = points_bzyx.shape[0]
    return points_bzyx.new_empty(n, 8, dtype=torch.int64), points_bzyx.new_empty(n, 8)


trilinear_corners = operator("sparseops::trilinear_corners", fake=_fake)(
    dispatched(_reference.trilinear_corners)
)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.mark_non_differentiable(output[0])
    ctx.save_for_backward(inputs[0], output[0])


def _backward(ctx: Any, _: Tensor, grad: Tensor) -> tuple[Tensor | None, ...]:
    points_bzyx, idx = ctx.saved_tensors
    _, offsets, shares = _reference.corner_shares(points_bzyx[:, 1:])
    z, y, x = shares.unbind(2)
    # A share grows with the coordinate at the upper corner and falls at the lower one.
    slopes = torch.stack([y * x, z * x, z * y], dim=2) * (2 * offsets - 1)
    to_zyx = torch.where((idx >= 0)[..., None], grad[..., None] * slopes, 0.0).sum(1)
    return torch.nn.functional.pad(to_zyx, (1, 0)), None, None, None


torch.library.register_autograd("sparseops::trilinear_corners", _backward, setup_context=_save)
