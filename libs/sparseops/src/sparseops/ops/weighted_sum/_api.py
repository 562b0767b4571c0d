"""Public function of the weighted sum of rows: rules, checks and the choice of the back end."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sparseops._backend import backend_for
from sparseops._checks import HALF_AND_FLOATS, INTEGERS, check_device, check_dtype, check_shape
from sparseops._operator import operator
from sparseops.ops.weighted_sum._reference import (
    weighted_sum_backward_features_reference,
    weighted_sum_backward_weights_reference,
    weighted_sum_reference,
)


def weighted_sum(
    features: Float[Tensor, "m c"], idx: Int[Tensor, "n k"], weights: Float[Tensor, "n k"]
) -> Float[Tensor, "n c"]:
    """Add up k rows of features by weight: out[n] = sum over j of weights[n, j] * features[idx[n, j]].

    A negative row stands for nothing and adds nothing, whatever its weight. Gradients go to features, summed
    over equal rows in the order of (n, j), and to weights: the same in every run and for any number of
    threads, on CUDA too. Half precision is computed in float32 and returned in the type of `features`;
    weights are taken in float32, beside float64 features in float64. Memory O(n (c + k)), never O(n k c).

    Raises:
        TypeError: Features or weights that are not floating point, rows that are not integers.
        ValueError: Wrong shape or different devices.
        IndexError: A row of m or more (checked on the CPU; elsewhere such a row adds nothing).

    Example:
        >>> features = torch.tensor([[10.0], [20.0]])
        >>> idx = torch.tensor([[0, 1], [1, -1]])
        >>> weighted_sum(features, idx, torch.tensor([[0.25, 0.75], [0.5, 9.0]])).tolist()
        [[17.5], [10.0]]
    """
    return checked_weighted_sum("weighted_sum", features, idx, weights, k="K")


def checked_weighted_sum(op: str, features: Tensor, idx: Tensor, weights: Tensor, *, k: int | str) -> Tensor:
    """Check the arguments for `op`, with `k` rows for each sum, and add up."""
    check_shape(op, "features", features, ("M", "C"))
    check_shape(op, "idx", idx, ("N", k))
    check_shape(op, "weights", weights, tuple(idx.shape))
    check_dtype(op, "features", features, HALF_AND_FLOATS)
    check_dtype(op, "idx", idx, INTEGERS)
    check_dtype(op, "weights", weights, HALF_AND_FLOATS)
    check_device(op, ("features", features), ("idx", idx), ("weights", weights))
    if idx.device.type == "cpu" and idx.numel() and int(idx.max()) >= len(features):
        raise IndexError(
            f"{op}: idx must be below {len(features)}, the rows of features, got {int(idx.max())}"
        )
    working = torch.float64 if features.dtype == torch.float64 else torch.float32
    return _weighted_sum(features, idx.long(), weights.to(working))


@operator("sparseops::weighted_sum")
def _weighted_sum(features: Tensor, idx: Tensor, weights: Tensor) -> Tensor:
    match backend_for("weighted_sum", features):
        case "cpu":
            from sparseops.ops.weighted_sum._cpu import weighted_sum_cpu as compute
        case "triton":
            from sparseops.ops.weighted_sum._triton import weighted_sum_triton as compute
        case _:
            compute = weighted_sum_reference
    return compute(features, idx, weights)


@torch.library.register_fake("sparseops::weighted_sum")
def _(features: Tensor, idx: Tensor, weights: Tensor) -> Tensor:
    return features.new_empty(idx.shape[0], features.shape[1])


@operator("sparseops::weighted_sum_backward_features", gradient=False)
def _backward_features(grad: Tensor, idx: Tensor, weights: Tensor, rows: int) -> Tensor:
    match backend_for("weighted_sum", grad):
        case "cpu":
            from sparseops.ops.weighted_sum._cpu import weighted_sum_backward_features_cpu as compute
        case "triton":
            from sparseops.ops.weighted_sum._triton import weighted_sum_backward_features_triton as compute
        case _:
            compute = weighted_sum_backward_features_reference
    return compute(grad, idx, weights, rows)


@torch.library.register_fake("sparseops::weighted_sum_backward_features")
def _(grad: Tensor, idx: Tensor, weights: Tensor, rows: int | torch.SymInt) -> Tensor:
    return grad.new_empty(rows, grad.shape[1])


@operator("sparseops::weighted_sum_backward_weights", gradient=False)
def _backward_weights(grad: Tensor, features: Tensor, idx: Tensor) -> Tensor:
    match backend_for("weighted_sum", grad):
        case "cpu":
            from sparseops.ops.weighted_sum._cpu import weighted_sum_backward_weights_cpu as compute
        case "triton":
            from sparseops.ops.weighted_sum._triton import weighted_sum_backward_weights_triton as compute
        case _:
            compute = weighted_sum_backward_weights_reference
    return compute(grad, features, idx)


@torch.library.register_fake("sparseops::weighted_sum_backward_weights")
def _(grad: Tensor, features: Tensor, idx: Tensor) -> Tensor:
    working = torch.float64 if features.dtype == torch.float64 else torch.float32
    return grad.new_empty(idx.shape, dtype=working)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    features, idx, weights = inputs
    ctx.rows = features.shape[0]
    # The values of the features are needed for the gradient to the weights only.
    ctx.save_for_backward(features if weights.requires_grad else None, idx, weights)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, None, Tensor | None]:
    features, idx, weights = ctx.saved_tensors
    to_features, _, to_weights = ctx.needs_input_grad
    return (
        _backward_features(grad, idx, weights, ctx.rows) if to_features else None,
        None,
        _backward_weights(grad, features, idx) if to_weights else None,
    )


torch.library.register_autograd("sparseops::weighted_sum", _backward, setup_context=_save)
