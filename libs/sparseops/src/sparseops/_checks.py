"""Argument checks shared by the public functions. Every message names the operator and the argument."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

Size = int | str
"""One axis of an expected shape: a number is exact, a letter is free."""

FLOATS = (torch.float32, torch.float64)
HALF_AND_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
HALF_AND_FLOAT32 = (torch.float16, torch.bfloat16, torch.float32)
INTEGERS = (torch.int32, torch.int64)


def check_shape(op: str, name: str, tensor: Tensor, shape: Sequence[Size]) -> None:
    """Raise ValueError unless the tensor has the rank of `shape` and its fixed sizes."""
    check_tensor(op, name, tensor)
    fits = tensor.ndim == len(shape) and all(
        isinstance(want, str) or got == want for got, want in zip(tensor.shape, shape, strict=True)
    )
    if not fits:
        wanted = ", ".join(str(size) for size in shape)
        raise ValueError(f"{op}: {name} must have shape [{wanted}], got {list(tensor.shape)}")


def check_dtype(op: str, name: str, tensor: Tensor, dtypes: Sequence[torch.dtype]) -> None:
    """Raise TypeError unless the type of `tensor` is one of `dtypes`."""
    check_tensor(op, name, tensor)
    if tensor.dtype not in dtypes:
        names = " or ".join(str(dtype).removeprefix("torch.") for dtype in dtypes)
        usual = torch.float32 if torch.float32 in dtypes else dtypes[0]
        raise TypeError(
            f"{op}: {name} must be {names}, got {str(tensor.dtype).removeprefix('torch.')}; "
            f"convert it with .to({usual})"
        )


def check_tensor(op: str, name: str, value: object) -> None:
    """Raise TypeError unless the value is a tensor."""
    if not isinstance(value, Tensor):
        cure = "torch.from_numpy" if type(value).__module__ == "numpy" else "torch.tensor"
        raise TypeError(f"{op}: {name} must be a tensor, got {type(value).__name__}; make one with {cure}")


def plain_numbers(op: str, name: str, values: object, count: int) -> tuple[float, ...]:
    """Return finite numbers that a tuple, list, array or tensor holds as Python's own.

    Raises:
        TypeError: Something that holds no numbers.
        ValueError: Another count, or a number that is not finite.
    """
    try:
        numbers = tuple(float(value) for value in values)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        raise TypeError(f"{op}: {name} must be {count} numbers, got {values!r}") from None
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        raise ValueError(f"{op}: {name} must be {count} finite numbers, got {list(numbers)}")
    return numbers


def wide(tensor: Tensor) -> Tensor:
    """Return half precision in float32, which loses nothing, and everything else as it is."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def check_device(op: str, *named: tuple[str, Tensor]) -> None:
    """Raise ValueError unless all tensors lie on the device of the first."""
    first_name, first = named[0]
    for name, tensor in named[1:]:
        if tensor.device != first.device:
            raise ValueError(
                f"{op}: {name} is on {tensor.device} but {first_name} is on {first.device}; "
                f"move it with .to('{first.device}')"
            )


def check_positive(op: str, name: str, value: float | int | Sequence[float | int]) -> None:
    """Raise ValueError unless the number, or every number of the sequence, is above zero."""
    values = value if isinstance(value, Sequence) else (value,)
    if not all(number > 0 for number in values):
        raise ValueError(f"{op}: {name} must be positive, got {value}")
