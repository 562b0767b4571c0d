"""What the bytes of a point file look like: its kind by its first bytes, its columns by its numbers.

Columns are told by how they differ: x reaches further than z, an intensity is never negative, a ring is
whole. Numbers that belong to one column lie so many places apart; taken at any other distance the columns
mix and all look alike. So neither ranges nor units are assumed, and no honest cloud is refused for them.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, UInt8

NPY = b"\x93NUMPY"

_MAGIC = (
    (NPY, "an array of NumPy"),
    (b"PK\x03\x04", "a zip archive or .npz (take the array out of it)"),
    (b"\x1f\x8b\x08", "compressed with gzip (unpack it first)"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd (unpack it first)"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (b"LASF", "a LAS file"),
    (b"ply\n", "a PLY file"),
    (b"ply\r\n", "a PLY file"),
    (b"\x89PNG\r\n\x1a\n", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"version https://git-lfs", "a pointer of Git LFS (fetch the file itself with `git lfs pull`)"),
    (b"\xef\xbb\xbf", "text"),
    (b"\xff\xfe", "text in UTF-16"),
    (b"\xfe\xff", "text in UTF-16"),
)
_TEXT = frozenset(range(32, 127)) | frozenset(b"\t\n\r\f")
_LEAST_TEXT = 8
"""Fewer bytes than these may be letters by chance."""

_GREAT, _SMALL = 1e10, 1e-20
_MAX_ABSURD_SHARE = 0.005
"""Of numbers beyond `_GREAT` or, not being 0, below `_SMALL`; float64 taken for float32 has over 10 %."""
_STRIDES = (3, 4, 5, 6, 7)
_BLOCK, _BLOCKS = 840, 24
"""A multiple of every count of columns up to 8, and how many such pieces are looked at."""
_MIN_SHARE, _MIN_EVIDENCE = 0.03, 15
"""Of the spread that columns explain: real scans have 0.04 (x y z of nuScenes) to 0.6, mixed columns 0."""
_MIXED = 0.2
"""Columns that explain less than this part of what another count explains are mixed."""
_TYPES = (
    *(("float32", "<f4"), ("float64", "<f8"), ("big-endian float32", ">f4"), ("float16", "<f2")),
    ("int32", "<i4"),
)
_FINE, _MAX_FINE_SHARE = 1e-4, 0.1
"""Coordinates and intensities are seldom so small, whereas other types taken for float16 are."""


def kind(head: bytes) -> str | None:
    """Return what the first bytes of a file say that it is; None if they may be numbers.

    Example:
        >>> kind(b"1.0 2.0 0.5 0.1"), kind(np.ones(4, np.float32).tobytes())
        ('text', None)
    """
    for magic, name in _MAGIC:
        if head.startswith(magic) and not (name.startswith("text") and not _is_text_after_mark(head)):
            return name
    return "text" if len(head) >= _LEAST_TEXT and _TEXT.issuperset(head) else None


def is_foreign(values: Float32[np.ndarray, " n"], columns: int) -> bool:
    """Return whether numbers are surely no cloud of so many columns; what is not finite does not count."""
    if not len(values):
        return False
    if _absurd(values).mean() > _MAX_ABSURD_SHARE:
        return True
    sample = _Sample(values)
    found = max(sample.explained_by(stride) for stride in _STRIDES if stride != columns)
    return found > sample.least and sample.explained_by(columns) < _MIXED * found


def numbers(content: UInt8[np.ndarray, " b"]) -> str | None:
    """Return type and columns of headerless numbers that are not what was expected; None if nothing fits."""
    for name, dtype in _TYPES:
        size = np.dtype(dtype).itemsize
        with np.errstate(over="ignore", invalid="ignore"):
            values = content[: len(content) // size * size].view(dtype).astype(np.float64)
        fine = (np.abs(values) < _FINE) & (values != 0)
        odd = not len(values) or np.isfinite(values).mean() < 0.5
        if odd or _absurd(values).mean() > _MAX_ABSURD_SHARE or fine.mean() > _MAX_FINE_SHARE:
            continue
        sample = _Sample(values)
        stride = max(_STRIDES, key=sample.explained_by)
        if sample.explained_by(stride) > sample.least:
            return f"{name} in {stride} columns"
    return None


def _is_text_after_mark(head: bytes) -> bool:
    """Tell whether what follows a byte order mark is text, rather than numbers that start so by chance."""
    rest = head[3:] if head.startswith(b"\xef\xbb\xbf") else head[2:].replace(b"\0", b"")
    return len(rest) >= _LEAST_TEXT and _TEXT.issuperset(rest)


def _absurd(values: Float[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Mark the finite numbers that no sensor gives, in whatever unit."""
    size = np.abs(values)
    return ((size > _GREAT) & (size < np.inf)) | ((size < _SMALL) & (size > 0))


class _Sample:
    """Some blocks of numbers, each of which starts with a first column, ranked in three ways."""

    def __init__(self, values: Float[np.ndarray, " n"]) -> None:
        count = len(values) // _BLOCK
        if count > _BLOCKS:
            starts = np.linspace(0, count - 1, _BLOCKS).astype(np.int64) * _BLOCK
            values = np.concatenate([values[start : start + _BLOCK] for start in starts.tolist()])
        self.least = max(_MIN_SHARE, _MIN_EVIDENCE / max(len(values), 1))
        """Columns that explain less may do so by chance."""
        self._places = np.flatnonzero(np.isfinite(values))
        values = values[self._places]
        whole = (values == np.round(values)).astype(np.float64)
        self._features = (_ranks(values), _ranks(np.abs(values)), whole)

    def explained_by(self, columns: int) -> float:
        """Return which share of the spread lies between columns (0..1), less what chance explains."""
        if len(self._places) <= columns:
            return 0.0
        column = self._places % columns
        shares = [_between(feature, column) for feature in self._features]
        return float(np.mean(shares)) - (columns - 1) / len(column)


def _between(feature: Float64[np.ndarray, " n"], column: np.ndarray) -> float:
    spread = feature.var()
    if spread == 0:
        return 0.0
    count = np.bincount(column)
    mean = np.bincount(column, feature) / np.maximum(count, 1)
    return float((count * (mean - feature.mean()) ** 2).sum() / len(feature) / spread)


def _ranks(values: np.ndarray) -> Float64[np.ndarray, " n"]:
    """Return the ranks; equal numbers share the mean of theirs."""
    _, inverse, count = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count + 1) / 2)[inverse]
