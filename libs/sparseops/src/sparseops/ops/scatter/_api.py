"""Public functions of the row reductions: rules, checks and the choice of the back end."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sparseops._backend import backend_for
from sparseops._checks import FLOATS, INTEGERS, check_device, check_dtype, check_shape
from sparseops._operator import operator
from sparseops.ops.scatter._reference import scatter_argmax_reference, scatter_sum_reference


def scatter_sum(
    src: Float[Tensor, "n c"], index: Int[Tensor, " n"], *, dim_size: int
) -> Float[Tensor, "m c"]:
    """Add up the rows with the same index, in row order; [dim_size, c], zero where no row has the index.

    Rows with a negative index are left out. The gradient copies that of the sum to its rows. The order of the
    additions is fixed (on CUDA it is that of a tree over the rows of a group), so every run gives the same
    result.

    Args:
        dim_size: Number of groups; every index is below it.

    Raises:
        TypeError: Rows that are not float32 or float64, an index that is not integer.
        ValueError: Wrong shape or different devices.
        IndexError: An index of `dim_size` or more (checked on the CPU only; CUDA leaves such rows out).

    Example:
        >>> scatter_sum(torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor([1, 1, -1]), dim_size=2).tolist()
        [[0.0], [3.0]]
    """
    op = "scatter_sum"
    _check(op, src, index, dim_size)
    return _scatter_sum(src, index.long(), dim_size, op)


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
    total = _scatter_sum(src, index, dim_size, op)
    # One more group takes the rows that are left out.
    group = torch.where((index >= 0) & (index < dim_size), index, dim_size)
    number = torch.zeros(dim_size + 1, dtype=torch.int64, device=index.device)
    number = number.scatter_add(0, group, torch.ones_like(index))[:dim_size].clamp(min=1)
    return total / number.to(src.dtype)[:, None]


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
    source = _scatter_argmax(src.detach(), index.long(), dim_size)
    # An extra row of zeros stands for the empty groups.
    padded = torch.cat([src, src.new_zeros(1, src.shape[1])])
    return padded.gather(0, source), source


def _check(op: str, src: Tensor, index: Tensor, dim_size: int) -> None:
    check_shape(op, "src", src, ("N", "C"))
    check_shape(op, "index", index, (len(src),))
    check_dtype(op, "src", src, FLOATS)
    check_dtype(op, "index", index, INTEGERS)
    check_device(op, ("src", src), ("index", index))
    if dim_size < 0:
        raise ValueError(f"{op}: dim_size must not be negative, got {dim_size}")


def _check_range(op: str, index: Tensor, count: int) -> None:
    """Raise IndexError for an index of `count` or more; on a GPU this would wait for all earlier kernels."""
    if index.device.type == "cpu" and len(index) and int(index.max()) >= count:
        raise IndexError(f"{op}: index must be below dim_size {count}, got {int(index.max())}")


@operator("sparseops::scatter_sum")
def _scatter_sum(rows: Tensor, index: Tensor, count: int, op: str) -> Tensor:
    _check_range(op, index, count)
    match backend_for(op, rows):
        case "cpu":
            from sparseops.ops.scatter._cpu import scatter_sum_cpu as run
        case "triton":
            from sparseops.ops.scatter._triton import scatter_sum_triton as run
        case "reference":
            run = scatter_sum_reference
    return run(rows, index, count)


@torch.library.register_fake("sparseops::scatter_sum")
def _(rows: Tensor, index: Tensor, count: int | torch.SymInt, op: str) -> Tensor:
    return rows.new_empty(count, rows.shape[1])


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(inputs[1])


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
    (index,) = ctx.saved_tensors
    # An extra row of zeros stands for the rows that were left out.
    padded = torch.cat([grad, grad.new_zeros(1, grad.shape[1])])
    kept = (index >= 0) & (index < len(grad))
    return padded[torch.where(kept, index, len(grad))], None, None, None


torch.library.register_autograd("sparseops::scatter_sum", _backward, setup_context=_save)


@operator("sparseops::scatter_argmax")
def _scatter_argmax(rows: Tensor, index: Tensor, count: int) -> Tensor:
    _check_range("scatter_max", index, count)
    match backend_for("scatter_max", rows):
        case "cpu":
            from sparseops.ops.scatter._cpu import scatter_argmax_cpu as run
        case "triton":
            from sparseops.ops.scatter._triton import scatter_argmax_triton as run
        case "reference":
            run = scatter_argmax_reference
    return run(rows, index, count)


@torch.library.register_fake("sparseops::scatter_argmax")
def _(rows: Tensor, index: Tensor, count: int | torch.SymInt) -> Tensor:
    return rows.new_empty(count, rows.shape[1], dtype=torch.int64)
