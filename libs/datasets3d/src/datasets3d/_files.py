"""Pictures, as every data set has them. Errors name the file and the cure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from jaxtyping import UInt8

if TYPE_CHECKING:
    from PIL import Image

_T = TypeVar("_T")


def read_image(path: Path | str) -> UInt8[np.ndarray, "h w 3"]:
    """Read a picture as RGB; grey and palette pictures are converted, of 16 bits the upper 8 are kept.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Not a picture, a damaged one, or one of numbers that are no brightness.
    """
    return read_picture(path, _rgb)


def _rgb(image: Image.Image) -> UInt8[np.ndarray, "h w 3"]:
    # Pillow would clip what is above 255 to white. Older versions call 16 bits of grey "I".
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):
        return np.repeat((np.array(image) >> 8).astype(np.uint8)[..., None], 3, axis=2)
    if image.mode in ("I", "F"):
        raise ValueError(f"its numbers are of mode {image.mode}, no brightness of 8 or 16 bits")
    return np.array(image.convert("RGB"))


def read_image_size(path: Path | str) -> tuple[int, int]:
    """Read (width, height) from a picture's header; errors as of `read_image`."""
    return _open(path, lambda image: image.size)


def read_picture(path: Path | str, take: Callable[[Image.Image], _T]) -> _T:
    """Return what `take` takes from an opened picture; errors as of `read_image`."""
    _open(path, _compare_check_sums)
    return _open(path, take)


def _compare_check_sums(image: Image.Image) -> None:
    # The decoder of PNG passes over damaged pixels. Other formats have no sums.
    if image.format == "PNG":
        image.verify()


def _open(path: Path | str, take: Callable[[Image.Image], _T]) -> _T:
    from PIL import Image

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"datasets3d: no picture {path}; expected the official tree")
    try:
        with Image.open(path) as image:
            return take(image)
    except Exception as error:  # what a damaged file raises in the decoders differs by the damage
        raise ValueError(
            f"datasets3d: {path} is no readable picture ({error}); copy it again or make it anew"
        ) from error
