"""The geometry of a convolution window: kernel size, stride, padding and dilation along z, y, x."""

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

Triple = tuple[int, int, int]
Extent = int | Sequence[int]
"""One number for all axes, or one per axis (z, y, x or y, x)."""


def triple(values: Sequence[int]) -> Triple:
    """Three numbers as a tuple."""
    z, y, x = values
    return z, y, x


class Settings(TypedDict):
    """The settings of a window, one number per axis."""

    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Window:
    """Output cell q reads input cell `q * stride - padding + k * dilation` at offset k, on every axis."""

    kernel_size: Triple
    stride: Triple
    padding: Triple
    dilation: Triple

    @property
    def numbers(self) -> list[int]:
        """All settings in a row, as registered operators take them."""
        return [*self.kernel_size, *self.stride, *self.padding, *self.dilation]

    @staticmethod
    def of(numbers: Sequence[int]) -> "Window":
        """The window of these `numbers`."""
        return Window(*(triple(numbers[first : first + 3]) for first in (0, 3, 6, 9)))

    @property
    def volume(self) -> int:
        """Number of offsets; they are numbered row-major, z slowest."""
        return self.kernel_size[0] * self.kernel_size[1] * self.kernel_size[2]

    @property
    def centred(self) -> bool:
        """Whether offset k and offset v - 1 - k are opposite steps from the cell itself."""
        axes = zip(self.kernel_size, self.padding, self.dilation, strict=True)
        return self.stride == (1, 1, 1) and all(2 * pad == step * (size - 1) for size, pad, step in axes)

    def along(self, dims: int) -> "Settings":
        """The settings along the last `dims` axes: arguments of the functions that plan maps."""
        return Settings(
            kernel_size=self.kernel_size[-dims:],
            stride=self.stride[-dims:],
            padding=self.padding[-dims:],
            dilation=self.dilation[-dims:],
        )

    def shape_out(self, shape_in: Triple) -> Triple:
        """Grid that a `shape_in` grid becomes; zero or less where the kernel does not fit."""
        z, y, x = (
            (size + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1
            for size, kernel, stride, pad, dilation in zip(
                shape_in, self.kernel_size, self.stride, self.padding, self.dilation, strict=True
            )
        )
        return z, y, x


def make_window(
    op: str, dims: int, *, kernel_size: Extent, stride: Extent = 1, padding: Extent = 0, dilation: Extent = 1
) -> Window:
    """Check the four numbers and spread them over three axes; a 2D window is one layer thick in z.

    Raises:
        ValueError: a length differs from `dims`, or a value is out of range.
    """
    return Window(
        kernel_size=_spread(op, "kernel_size", kernel_size, dims, least=1, flat=1),
        stride=_spread(op, "stride", stride, dims, least=1, flat=1),
        padding=_spread(op, "padding", padding, dims, least=0, flat=0),
        dilation=_spread(op, "dilation", dilation, dims, least=1, flat=1),
    )


def _spread(op: str, name: str, value: Extent, dims: int, *, least: int, flat: int) -> Triple:
    given: Any = value
    try:
        values = (operator.index(given),) * dims
    except TypeError:  # several numbers
        values = tuple(int(number) for number in given)
    if len(values) != dims:
        raise ValueError(f"{op}: {name} must be one number or {dims} numbers, got {value}")
    if min(values) < least:
        raise ValueError(f"{op}: {name} must be at least {least} on every axis, got {value}")
    z, y, x = (flat,) * (3 - dims) + values
    return z, y, x
