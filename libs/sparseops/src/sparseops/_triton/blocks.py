"""Launches of kernels, and matrix products of tiles with the precision that PyTorch is set to."""

from typing import Any, no_type_check

import torch
import triton
import triton.language as tl
from triton import knobs


def interpreted() -> bool:
    """Whether kernels run in Triton's interpreter, on the CPU."""
    return bool(knobs.runtime.interpret)


def launch(kernel: Any, grid: tuple[int, ...], *arguments: Any, **constants: Any) -> None:
    """Run a kernel on the device of its first argument, whichever device is the current one."""
    with torch.cuda.device_of(arguments[0]):
        kernel[grid](*arguments, **constants)


def ceil_div(number: int, divisor: int) -> int:
    """Return the quotient, rounded up."""
    return -(-number // divisor)


def widens(dtype: torch.dtype) -> bool:
    """Whether tiles of this type must become float32 before a product: the interpreter garbles bfloat16."""
    return dtype == torch.bfloat16 and interpreted()


def precision_of(dtype: torch.dtype) -> str:
    """Return "tf32" for float32 where PyTorch allows it for its own matrix products, else "ieee"."""
    if dtype == torch.float32 and torch.backends.cuda.matmul.fp32_precision == "tf32":
        return "tf32"
    return "ieee"


def accumulator_of(dtype: torch.dtype) -> torch.dtype:
    """Type that sums are taken in."""
    return torch.float64 if dtype == torch.float64 else torch.float32


@triton.jit
@no_type_check
def dot(a, b, total, PRECISION: tl.constexpr, WIDEN: tl.constexpr):
    """Return `total + a @ b`, in the type of `total`."""
    if WIDEN:
        a = a.to(tl.float32)
        b = b.to(tl.float32)
    return tl.dot(a, b, total, input_precision=PRECISION, out_dtype=total.dtype)
