"""Public function of grouping: rules, checks and the choice of the back end."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sparseops._backend import backend_for
from sparseops._checks import FLOATS, HALF_AND_FLOATS, INTEGERS, check_device, check_dtype, check_shape
from sparseops._operator import operator
from sparseops.ops.group._reference import group_backward_reference, group_reference


def group(features: Float[Tensor, "b c n"], idx: Int[Tensor, "b m s"]) -> Float[Tensor, "b c m s"]:
    """Gather features by rows: out[b, c, m, s] = features[b, c, idx[b, m, s]].

    Made for the rows of `ball_query`. The gradient adds up over equal rows in a fixed order, on the CPU that
    of (m, s), on CUDA that of a tree over the entries of a row, and is the same in every run. Any floating
    type; half precision takes the reference on the CPU. O(b c m s); on CUDA the gradient sorts the rows.

    Raises:
        TypeError: Features that are not floating point, rows that are not integers.
        ValueError: Wrong shape or different devices.
        IndexError: A row outside 0 .. n - 1 (checked on the CPU only; CUDA reads zeros there).

    Example:
        >>> group(torch.tensor([[[10.0, 20.0, 30.0]]]), torch.tensor([[[2, 0]]])).tolist()
        [[[[30.0, 10.0]]]]
    """
    check_shape("group", "features", features, ("B", "C", "N"))
    check_shape("group", "idx", idx, (len(features), "M", "S"))
    check_dtype("group", "features", features, HALF_AND_FLOATS)
    check_dtype("group", "idx", idx, INTEGERS)
    check_device("group", ("features", features), ("idx", idx))
    return _group(features, idx.long())


@operator("sparseops::group")
def _group(features: Tensor, idx: Tensor) -> Tensor:
    if idx.device.type == "cpu" and idx.numel():
        low, high = int(idx.min()), int(idx.max())
        if low < 0 or high >= features.shape[2]:
            raise IndexError(f"group: idx must lie in 0 to {features.shape[2] - 1}, got {low} to {high}")
    match backend_for("group", features):
        case "cpu" if features.dtype in FLOATS:
            from sparseops.ops.group._cpu import group_cpu as run
        case "triton":
            from sparseops.ops.group._triton import group_triton as run
        case _:
            run = group_reference
    return run(features, idx)


@torch.library.register_fake("sparseops::group")
def _(features: Tensor, idx: Tensor) -> Tensor:
    return features.new_empty(*features.shape[:2], *idx.shape[1:])


@operator("sparseops::group_backward", gradient=False)
def _group_backward(grad: Tensor, idx: Tensor, rows: int) -> Tensor:
    match backend_for("group", grad):
        case "cpu" if grad.dtype in FLOATS:
            from sparseops.ops.group._cpu import group_backward_cpu as run
        case "triton":
            from sparseops.ops.group._triton import group_backward_triton as run
        case _:
            run = group_backward_reference
    return run(grad, idx, rows)


@torch.library.register_fake("sparseops::group_backward")
def _(grad: Tensor, idx: Tensor, rows: int | torch.SymInt) -> Tensor:
    return grad.new_empty(*grad.shape[:2], rows)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    features, idx = inputs
    ctx.save_for_backward(idx)
    ctx.rows = features.shape[2]


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
    (idx,) = ctx.saved_tensors
    return _group_backward(grad, idx, ctx.rows), None


torch.library.register_autograd("sparseops::group", _backward, setup_context=_save)
