"""Point files of every kind that users have: float32 without a header, `.npy`, `.pcd`.

What a file is, its content says, not its name. Errors name the file, what it looks like, and the cure.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Float32, UInt8

from datasets3d import _pcd, _recognise

InvalidPoints: TypeAlias = Literal["error", "drop"]
"""What to do with points that are not finite."""

_HEAD = 4096


def count_points(path: Path | str, columns: Sequence[str]) -> int:
    """Return the number of points of a headerless file from its size and its first bytes alone.

    Args:
        path: Little-endian float32, one number a column and point.
        columns: Names of the columns.

    Raises:
        FileNotFoundError: No such file.
        ValueError: It starts as a file of another kind, or its size is no multiple of that of a point.
    """
    path = _existing(path)
    with path.open("rb") as handle:
        _refuse_other_kinds(path, handle.read(_HEAD), columns)
    size, point = path.stat().st_size, 4 * len(columns)
    if size % point:
        raise _wrong_size(path, size, columns, None)
    return size // point


def read_points(
    path: Path | str, columns: Sequence[str], *, stored: Sequence[str] | None = None
) -> Float32[np.ndarray, "n c"]:
    """Read the named columns of a point file; an empty file is a cloud of zero points.

    A `.pcd` file names its columns itself. Numbers that are not finite are the caller's business.
    Whether a headerless file is float32 in so many columns is judged by its numbers, see `_recognise`; the
    columns of a cloud of a few points, or of 8 columns for 4, cannot be told.

    Args:
        path: Little-endian float32, an array of two dimensions as `np.save` writes it, or `.pcd`.
        columns: Names of the wanted columns.
        stored: Names of the columns of a file that does not name them; None: the wanted ones, no others.

    Raises:
        FileNotFoundError: No such file.
        ValueError: A file of another kind or with other columns, or a damaged one.
    """
    path, stored = _existing(path), tuple(columns if stored is None else stored)
    absent = [name for name in columns if name not in stored]
    if absent or len(set(stored)) != len(stored):
        raise ValueError(
            f"datasets3d: columns must name each column of {path} once, among them {' '.join(columns)}; "
            f"got {' '.join(stored) or 'none'}"
        )
    content = np.fromfile(path, np.uint8)
    head = content[:_HEAD].tobytes()
    if _pcd.is_pcd(head):
        return _pcd.parse(path, content.tobytes(), columns)
    if head.startswith(_recognise.NPY):
        points = _npy(path, content, stored)
    else:
        _refuse_other_kinds(path, head, stored)
        points = _headerless(path, content, stored)
    if stored == tuple(columns):
        return points
    return np.ascontiguousarray(points[:, [stored.index(name) for name in columns]])


def _existing(path: Path | str) -> Path:
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"datasets3d: no point file {path}; expected the official tree")
    return path


def _headerless(
    path: Path, content: UInt8[np.ndarray, " b"], columns: Sequence[str]
) -> Float32[np.ndarray, "n c"]:
    if len(content) % (4 * len(columns)):
        raise _wrong_size(path, len(content), columns, _recognise.numbers(content))
    values = content.view("<f4").astype(np.float32, copy=False)
    if _recognise.is_foreign(values, len(columns)):
        found = _recognise.numbers(content)
        raise ValueError(
            f"datasets3d: {path} holds no float32 {' '.join(columns)}: it looks like "
            f"{found or 'something else, most of its numbers no sensor gives'}; {_cure(columns)}"
        )
    return values.reshape(-1, len(columns))


def _wrong_size(path: Path, size: int, columns: Sequence[str], found: str | None) -> ValueError:
    looks = f"it looks like {found}" if found else "the file is cut short or holds other columns"
    return ValueError(
        f"datasets3d: {path} has {size} bytes, not a multiple of {4 * len(columns)} (float32 "
        f"{' '.join(columns)}): {looks}; copy it again, or {_cure(columns)}"
    )


def _refuse_other_kinds(path: Path, head: bytes, columns: Sequence[str]) -> None:
    kind = _recognise.kind(head)
    if kind is not None:
        raise ValueError(f"datasets3d: {path} is {kind}, no float32 {' '.join(columns)}; {_cure(columns)}")


def _cure(columns: Sequence[str]) -> str:
    return (
        f"convert it to float32 {' '.join(columns)} (0 for what is unknown), or name the columns that it has "
        "as columns= where you read it"
    )


def _npy(path: Path, content: UInt8[np.ndarray, " b"], columns: Sequence[str]) -> Float32[np.ndarray, "n c"]:
    try:
        points = np.lib.format.read_array(io.BytesIO(content.tobytes()), allow_pickle=False)
    except Exception as error:  # what a damaged header raises is not documented and differs by the damage
        raise ValueError(
            f"datasets3d: {path} is an array of NumPy that cannot be read ({error}); save it again"
        ) from None
    if points.dtype.kind not in "fiu" or points.ndim != 2 or points.shape[1] != len(columns):
        raise ValueError(
            f"datasets3d: {path} is an array of NumPy, {points.dtype} {points.shape}; expected numbers of "
            f"shape (n, {len(columns)}): {' '.join(columns)}; {_cure(columns)}"
        )
    with np.errstate(over="ignore"):  # becomes infinite, which is the caller's business
        return np.ascontiguousarray(points, np.float32)
