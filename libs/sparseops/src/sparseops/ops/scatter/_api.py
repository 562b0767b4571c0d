"""Public functions of the row reductions: rules, checks and the choice of the back end."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sparseops._checks import HALF_AND_FLOATS, INTEGERS, check_device, check_dtype, check_shape, wide
from sparseops.ops.scatter import _ops


def scatter_sum(
    src: Float[Tensor, "n c"], index: Int[Tensor, " n"], *, dim_size: int
) -> Float[Tensor, "m c"]:
    """Add up the rows with the same index, in row order; [dim_size, c], zero where no row has the index.

    Rows with a negative index are left out. The gradient copies that of the sum to its rows. The order of the
    additions is fixed (on CUDA it is that of a tree over the rows of a group), so every run gives the same
    result. Half precision is computed in float32 and returned in its type.

    Args:
        dim_size: Number of groups; every index is below it.

    Raises:
        TypeError: Rows that are not floating point, an index that is not integer.
        ValueError: Wrong shape or different devices.
        IndexError: An index of `dim_size` or more (checked on the CPU only; CUDA leaves such rows out).

    Example:
        >>> scatter_sum(torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor([1, 1, -1]), dim_size=2).tolist()
        [[0.0], [3.0]]
    """
    op = "scatter_sum"
    _check(op, src, index, dim_size)
    return _ops.scatter_sum(wide(src), index.long(), dim_size, op).to(src.dtype)


def scatter_mean(
    src: Float[Tensor, "n c"], index: Int[Tensor, " n"], *, dim_size: int
) -> Float[Tensor, "m c"]:
    """Average the rows with the same index: sum / max(number, 1); see `scatter_sum` for the rules.

    Example:
        >>> scatter_mean(torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor([1, 1, -1]), dim_size=2).tolist()
        [[0.0], [1.5]]
    """
    op = "scatter_mean"
    _check(op, src, index, dim_size)
    index = index.long()
    total = _ops.scatter_sum(wide(src), index, dim_size, op)
    # One more group takes the rows that are left out.
    group = torch.where((index >= 0) & (index < dim_size), index, dim_size)
    number = torch.zeros(dim_size + 1, dtype=torch.int64, device=index.device)
    number = number.scatter_add(0, group, torch.ones_like(index))[:dim_size].clamp(min=1)
    return (total / number.to(total.dtype)[:, None]).to(src.dtype)


def scatter_max(
    src: Float[Tensor, "n c"], index: Int[Tensor, " n"], *, dim_size: int
) -> tuple[Float[Tensor, "m c"], Int[Tensor, "m c"]]:
    """Take the largest of the rows with one index: values and the rows they came from, both [dim_size, c].

    Of equal values the lowest row wins, and only it receives the gradient. A group without rows has value 0
    and row n. NaN is larger than any number. Other rules as `scatter_sum`.

    Example:
        >>> src, index = torch.tensor([[1.0], [2.0], [2.0]]), torch.tensor([0, 0, 0])
        >>> values, source = scatter_max(src, index, dim_size=2)
        >>> values.tolist(), source.tolist()
        ([[2.0], [0.0]], [[1], [3]])
    """
    _check("scatter_max", src, index, dim_size)
    source = _ops.scatter_argmax(wide(src.detach()), index.long(), dim_size)
    # An extra row of zeros stands for the empty groups.
    padded = torch.cat([src, src.new_zeros(1, src.shape[1])])
    return padded.gather(0, source), source


def _check(op: str, src: Tensor, index: Tensor, dim_size: int) -> None:
    check_shape(op, "src", src, ("N", "C"))
    check_shape(op, "index", index, (src.shape[0],))
    check_dtype(op, "src", src, HALF_AND_FLOATS)
    check_dtype(op, "index", index, INTEGERS)
    check_device(op, ("src", src), ("index", index))
    if dim_size < 0:
        raise ValueError(f"{op}: dim_size must not be negative, got {dim_size}")
