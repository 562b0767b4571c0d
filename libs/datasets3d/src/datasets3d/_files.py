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
    """Read a picture as RGB; grey and palette pictures are converted.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Not a picture, or a file cut short.
    """
    return read_picture(path, lambda image: np.array(image.convert("RGB")))


def read_image_size(path: Path | str) -> tuple[int, int]:
    """Read (width, height) from a picture's header; errors as of `read_image`."""
    return read_picture(path, lambda image: image.size)


def read_picture(path: Path | str, take: Callable[[Image.Image], _T]) -> _T:
    """Return what `take` takes from an opened picture; errors as of `read_image`."""
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
