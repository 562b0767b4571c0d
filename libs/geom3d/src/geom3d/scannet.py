"""ScanNet boxes (upright, yaw 0) and the alignment of a scan with the walls of its room.

Frames: `scan` (as the mesh file has it), `aligned` (walls along x and y). Boxes of the benchmark live in
`aligned`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float, Float64

from geom3d._arrays import ArrayT, check_last, namespace, promote, untyped
from geom3d.text import read_text

_KEY = "axisAlignment"


def boxes_from_min_max(lower: Float[ArrayT, "*n 3"], upper: Float[ArrayT, "*n 3"]) -> Float[ArrayT, "*n 7"]:
    """Return boxes with yaw 0 from their lowest and highest corners x y z, metres.

    Raises:
        ValueError: Wrong shapes, or a lower corner above the upper one.

    Example:
        >>> boxes_from_min_max(np.array([[0.0, 0.0, 0.0]]), np.array([[2.0, 4.0, 6.0]])).tolist()
        [[1.0, 2.0, 3.0, 2.0, 4.0, 6.0, 0.0]]
    """
    check_last(lower, 3, function="scannet.boxes_from_min_max", name="lower")
    check_last(upper, 3, function="scannet.boxes_from_min_max", name="upper")
    low, high = promote(lower, upper)
    xp = namespace(low)
    if bool(xp.any(low > high)):
        raise ValueError("scannet.boxes_from_min_max: a lower corner lies above its upper one; swap them")
    return xp.concat([(low + high) * 0.5, high - low, xp.zeros_like(low[..., :1])], axis=-1)


def boxes_from_center_size(center_size: Float[ArrayT, "*n 6"]) -> Float[ArrayT, "*n 7"]:
    """Return boxes with yaw 0 from centre x y z and size dx dy dz, metres.

    Raises:
        ValueError: Not 6 columns (cut the class column of `*_bbox.npy` off first).

    Example:
        >>> boxes_from_center_size(np.array([[1.0, 2.0, 3.0, 2.0, 4.0, 6.0]])).tolist()
        [[1.0, 2.0, 3.0, 2.0, 4.0, 6.0, 0.0]]
    """
    check_last(center_size, 6, function="scannet.boxes_from_center_size", name="center_size")
    values = untyped(center_size)
    xp = namespace(values)
    return xp.concat([values, xp.zeros_like(values[..., :1])], axis=-1)


def read_axis_alignment(path: str | Path) -> Float64[np.ndarray, "4 4"]:
    """Read aligned_from_scan from `<scan>.txt` (line `axisAlignment = 16 numbers`, rows first).

    Apply it to the vertices with `transforms.apply`.

    Raises:
        FileNotFoundError: No such file.
        ValueError: No such line (test scans have none: use the identity), or not 16 numbers.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"scannet.read_axis_alignment: no file {path}; expected scans/<scan>/<scan>.txt"
        )
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        key, _, values = line.partition("=")
        if key.strip() == _KEY:
            return _parse(values, where=f"{path}, line {number}")
    raise ValueError(
        f"scannet.read_axis_alignment: {path} has no line {_KEY}; test scans have none, use np.eye(4)"
    )


def _parse(text: str, *, where: str) -> Float64[np.ndarray, "4 4"]:
    """Return 16 numbers as a matrix."""
    try:
        numbers = [float(field) for field in text.split()]
    except ValueError as error:
        raise ValueError(f"scannet.read_axis_alignment: {where}: {error}; copy the file again") from None
    if len(numbers) != 16:
        raise ValueError(
            f"scannet.read_axis_alignment: {where}: expected 16 numbers, got {len(numbers)}; copy it again"
        )
    return np.array(numbers).reshape(4, 4)
