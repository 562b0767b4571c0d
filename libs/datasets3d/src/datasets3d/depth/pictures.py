"""Depth maps as pictures: PNG of 16 bits, metres times 256, 0 where unknown (KITTI's depth format)."""

from __future__ import annotations

import io
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import Float32

from datasets3d import _atomic
from datasets3d._files import read_picture
from datasets3d._validate import check_array

STEPS_PER_METRE = 256
MAX_DEPTH_M = 65535 / STEPS_PER_METRE
"""The greatest depth a picture can hold, 255.996 m."""


def picture_of(folder: Path | str, image_filename: str, *, channel: str | None = None) -> Path:
    """Return the PNG that belongs to a camera image: `<folder>/[<channel>/]<image base name>.png`.

    Example:
        >>> picture_of("depth", "samples/CAM_FRONT/a.b.jpg", channel="CAM_FRONT").as_posix()
        'depth/CAM_FRONT/a.b.png'
    """
    folder = Path(folder) if channel is None else Path(folder) / channel
    return folder / f"{PurePosixPath(image_filename).stem}.png"


def read_depth_picture(path: Path | str) -> Float32[np.ndarray, "h w"]:
    """Read a depth map in metres; 0 where unknown.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Not a picture, cut short, or not of 16 bits and one channel.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"datasets3d.depth: no depth picture {path}")
    mode, steps = decoded(path)
    # Older Pillow calls 16 bits "I".
    if mode != "I" and not mode.startswith("I;16"):
        raise ValueError(
            f"datasets3d.depth: {path} has mode {mode}; a depth picture is a PNG of 16 bits and one channel, "
            "metres times 256"
        )
    return (steps / STEPS_PER_METRE).astype(np.float32)


def decoded(path: Path) -> tuple[str, np.ndarray]:
    """Return Pillow's mode and the pixels of a picture, not converted.

    Raises:
        ValueError: Not a picture, or cut short.
    """
    return read_picture(path, lambda image: (image.mode, np.array(image)))


def write_depth_picture(path: Path | str, depth_m: Float32[np.ndarray, "h w"]) -> None:
    """Write a depth map; depths are rounded to 1/256 m, those above `MAX_DEPTH_M` become 0, unknown.

    A known depth stays known: it is at least 1/256 m.

    Raises:
        TypeError: Not a float32 array.
        ValueError: Not of two dimensions, or depths that are negative or not finite.
    """
    from PIL import Image

    check_array("write_depth_picture: depth_m", depth_m, np.float32, (None, None))
    if not (np.isfinite(depth_m) & (depth_m >= 0)).all():
        raise ValueError("write_depth_picture: depths must be finite and not negative; 0 stands for unknown")
    steps = np.round(depth_m.astype(np.float64) * STEPS_PER_METRE)
    steps = np.where(steps > 65535, 0, np.maximum(steps, depth_m > 0))
    buffer = io.BytesIO()
    Image.fromarray(steps.astype(np.uint16)).save(buffer, "PNG")
    _atomic.write_bytes(Path(path), buffer.getvalue())
