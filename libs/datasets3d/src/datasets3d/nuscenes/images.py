"""Pictures of nuScenes' cameras: JPEG."""

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
    """Read a picture as RGB.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Not a picture, or a file cut short.
    """
    return _read(Path(path), lambda image: np.array(image.convert("RGB")))


def read_image_size(path: Path | str) -> tuple[int, int]:
    """Read (width, height) from a picture's header.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Not a picture.
    """
    return _read(Path(path), lambda image: image.size)


def _read(path: Path, take: Callable[[Image.Image], _T]) -> _T:
    from PIL import Image

    if not path.is_file():
        raise FileNotFoundError(f"datasets3d.nuscenes: no picture {path}; expected the official tree")
    try:
        with Image.open(path) as image:
            return take(image)
    except (OSError, SyntaxError) as error:
        raise ValueError(
            f"datasets3d.nuscenes: {path} is no readable picture ({error}); copy it again"
        ) from error
