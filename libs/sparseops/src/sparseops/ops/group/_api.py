"""Public function of grouping: rules, checks and the choice of the back end."""

from jaxtyping import Float, Int
from torch import Tensor

from sparseops._checks import HALF_AND_FLOATS, INTEGERS, check_device, check_dtype, check_shape
from sparseops.ops.group import _ops


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
        >>> import torch
        >>> group(torch.tensor([[[10.0, 20.0, 30.0]]]), torch.tensor([[[2, 0]]])).tolist()
        [[[[30.0, 10.0]]]]
    """
    check_shape("group", "features", features, ("B", "C", "N"))
    check_shape("group", "idx", idx, (len(features), "M", "S"))
    check_dtype("group", "features", features, HALF_AND_FLOATS)
    check_dtype("group", "idx", idx, INTEGERS)
    check_device("group", ("features", features), ("idx", idx))
    return _ops.group(features, idx.long())
