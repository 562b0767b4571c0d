"""Public function of the weighted sum of rows: rules, checks and the choice of the back end."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sparseops._checks import HALF_AND_FLOATS, INTEGERS, check_device, check_dtype, check_shape
from sparseops.ops.weighted_sum import _ops


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
    working = torch.float64 if features.dtype == torch.float64 else torch.float32
    return _ops.weighted_sum(features, idx.long(), weights.to(working), op)
