"""Read and write depth maps: 16-bit PNG as KITTI stores them, and .npy or .npz in metres."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Float64, Real

from evaluators._files import read_npz
from evaluators._report import replacing

SUFFIXES: Final = (".png", ".npy", ".npz")
PNG_UNITS_PER_METRE: Final = 256.0
"""A PNG value is depth in metres times this; 0 is no depth. Source: the KITTI depth development kit."""

_PNG_END: Final = 65535


def read_depth(path: str | Path) -> Float64[np.ndarray, "h w"]:
    """Return a depth map in metres; 0 where a PNG has no depth.

    * `.png`: one channel of 16 bits, metres times 256 (needs `fusion3d-evaluators[depth]`);
    * `.npy`: an array [h, w] of floating-point metres;
    * `.npz`: the same as its only array, or as the one named "depth".

    Values are returned as they are: NaN, infinities and negative numbers are judged by the evaluator.

    Raises:
        FileNotFoundError: There is no such file.
        ImportError: A PNG without Pillow.
        ValueError: Another kind of file or array, or a damaged one. The message names the file.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_depth_png(f"{folder}/a.png", np.array([[1.0, 0.0, 80.0]]))
        ...     read_depth(f"{folder}/a.png").tolist()
        [[1.0, 0.0, 80.0]]
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path}: a depth map is a {', '.join(SUFFIXES)} file")
    if path.suffix == ".png":
        return np.multiply(_read_png(path), 1.0 / PNG_UNITS_PER_METRE, dtype=np.float64)
    array = _read_numpy(path)
    if array.ndim != 2 or not np.issubdtype(array.dtype, np.floating):
        raise ValueError(
            f"{path}: expected floating-point metres [h, w], got {array.dtype} {list(array.shape)};"
            " divide KITTI's integers by 256, and remove axes of length 1"
        )
    return array.astype(np.float64)


def write_depth_png(path: str | Path, depth_m: Real[np.ndarray, "h w"]) -> None:
    """Write a depth map as a 16-bit PNG, metres times 256, rounded; 0 stays "no depth".

    Raises:
        ValueError: A depth that the format cannot hold: NaN, negative or above 255.99 m.
        ImportError: Pillow is not installed.
    """
    scaled = np.rint(np.asarray(depth_m, dtype=np.float64) * PNG_UNITS_PER_METRE)
    if not np.all((scaled >= 0) & (scaled <= _PNG_END)):
        raise ValueError(f"{path}: a depth PNG holds 0 to 255.99 m; clip the prediction, or write .npy")
    with replacing(path) as temporary:
        _pillow().fromarray(scaled.astype(np.uint16)).save(temporary, format="PNG")


def _read_png(path: Path) -> np.ndarray:
    content = path.read_bytes()
    image_module = _pillow()
    try:
        with image_module.open(io.BytesIO(content), formats=("PNG",)) as image:
            mode: str = image.mode
            array: np.ndarray = np.asarray(image)
    except Exception as error:  # a damaged file can raise nearly anything inside the decoder
        raise ValueError(f"{path} cannot be read as PNG ({error}); write it anew") from error
    if array.ndim != 2 or not mode.startswith("I"):
        raise ValueError(
            f"{path}: expected one channel of 16 bits, metres times 256, got mode {mode} {list(array.shape)};"
            " is this a picture of depth in colours or 8 bits?"
        )
    return array


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError:
        raise ImportError(
            "PNG files need Pillow, which is not installed: pip install 'fusion3d-evaluators[depth]',"
            " or store depth maps as .npy in metres"
        ) from None
    return Image


def _read_numpy(path: Path) -> np.ndarray:
    if path.suffix == ".npz":
        arrays = read_npz(path)
        name = "depth" if "depth" in arrays or len(arrays) != 1 else next(iter(arrays))
        if name not in arrays:
            raise ValueError(
                f"{path}: expected one array, or one named 'depth', got {', '.join(arrays) or 'none'}"
            )
        return arrays[name]
    content = io.BytesIO(path.read_bytes())
    try:
        return np.lib.format.read_array(content, allow_pickle=False)
    except Exception as error:  # a damaged file can raise nearly anything inside the decoder
        raise ValueError(f"{path} cannot be read as .npy ({error}); write it anew") from None
