"""Registration of voxelisation with PyTorch: the number of voxels depends on the data.

On a GPU the reference is a fixed number of PyTorch's own kernels, so there is no other.
"""

from typing import Any

import torch
from torch import Tensor

from sparseops._operator import dispatched, operator
from sparseops.ops.voxelize import _reference


def _fake(points: Tensor, *rest: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    count, max_points = torch.library.get_ctx().new_dynamic_size(), rest[-2]
    return (
        points.new_empty(count, max_points, points.shape[1]),
        points.new_empty(count, 4, dtype=torch.int32),
        points.new_empty(count, dtype=torch.int32),
        points.new_empty(count, max_points, dtype=torch.int64),
    )


def _fake_backward(grad_voxels: Tensor, slots: Tensor, point_count: int | torch.SymInt) -> Tensor:
    return grad_voxels.new_empty(point_count, grad_voxels.shape[2])


def _fake_dynamic(points: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor]:
    count = torch.library.get_ctx().new_dynamic_size()
    return (
        points.new_empty(count, 4, dtype=torch.int32),
        points.new_empty(points.shape[0], dtype=torch.int64),
        points.new_empty(count, dtype=torch.int32),
    )


dynamic_voxelize = operator("sparseops::dynamic_voxelize", fake=_fake_dynamic)(_reference.dynamic_voxelize)
hard_voxelize = operator("sparseops::hard_voxelize", fake=_fake)(dispatched(_reference.hard_voxelize))


@operator("sparseops::hard_voxelize_backward", fake=_fake_backward, gradient=False)
def hard_voxelize_backward(grad_voxels: Tensor, slots: Tensor, point_count: int) -> Tensor:
    """Gradient to the points that were kept."""
    # Every point sits in one slot at most, so nothing is added up; padding goes to an extra row.
    grad_points = grad_voxels.new_zeros(point_count + 1, grad_voxels.shape[2])
    grad_points[slots.flatten() % (point_count + 1)] = grad_voxels.flatten(0, 1)
    return grad_points[:-1].clone()


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.mark_non_differentiable(*output[1:])
    ctx.save_for_backward(output[3])
    ctx.point_count = len(inputs[0])


def _backward(ctx: Any, grad_voxels: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
    (slots,) = ctx.saved_tensors
    return hard_voxelize_backward(grad_voxels, slots, ctx.point_count), *(None,) * 6


torch.library.register_autograd("sparseops::hard_voxelize", _backward, setup_context=_save)
