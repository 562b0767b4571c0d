"""The columns of a scan file by their names, whatever its format: labels need the exact numbers."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from datasets3d import _pcd, _ply, _point_files, _recognise

SUFFIXES = (".bin", ".npy", ".ply", ".pcd", ".las", ".laz")
"""Files that are taken for scans in a folder; what a file is, its content says."""
_HEAD = 4096
_LAS_DIMENSIONS = ("intensity", "classification")
_LAS_COLOURS = ("red", "green", "blue")
"""Of those point formats that have them; besides, what the file adds to its format is read."""


def read_columns(path: Path | str, stored: Sequence[str]) -> dict[str, np.ndarray]:
    """Read a scan file column by column, each in the type of the file; all have the same length.

    Args:
        path: Headerless float32, an array of NumPy (of two dimensions, or with named fields), `.ply`, `.pcd`,
            `.las` or `.laz`. Of LAS files x y z (float64, scaled), intensity, classification, red, green and
            blue if it has them, and what the file adds to its format.
        stored: Names of the columns of a file that does not name them.

    Raises:
        FileNotFoundError: No such file.
        ValueError: A file of another kind or with other columns, or a damaged one; names the file.
        ImportError: A LAS file, and the reader is not installed; names the cure.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"datasets3d: no scan file {path}")
    with path.open("rb") as handle:
        head = handle.read(_HEAD)
    if _ply.is_ply(head):
        return _ply.read_vertices(path)
    if _pcd.is_pcd(head):
        return _pcd.read_fields(path, path.read_bytes())
    if head.startswith(_recognise.NPY):
        return _npy_columns(path, stored)
    if head.startswith(b"LASF"):
        return _las_columns(path)
    points = _point_files.read_points(path, stored)
    return {name: points[:, at] for at, name in enumerate(stored)}


def _npy_columns(path: Path, stored: Sequence[str]) -> dict[str, np.ndarray]:
    try:
        found = np.lib.format.read_array(io.BytesIO(path.read_bytes()), allow_pickle=False)
    except Exception as error:  # what a damaged header raises is not documented and differs by the damage
        raise ValueError(
            f"datasets3d: {path} is an array of NumPy that cannot be read ({error}); save it again"
        ) from None
    names = found.dtype.names
    if names is not None and found.ndim == 1:
        columns = {name: found[name] for name in names}
        if all(column.ndim == 1 and column.dtype.kind in "fiu" for column in columns.values()):
            return columns
    elif found.dtype.kind in "fiu" and found.ndim == 2 and found.shape[1] == len(stored):
        return {name: found[:, at] for at, name in enumerate(stored)}
    raise ValueError(
        f"datasets3d: {path} is an array of NumPy, {found.dtype} {found.shape}; expected numbers of shape "
        f"(n, {len(stored)}): {' '.join(stored)}, or an array with named fields of numbers; name the columns "
        "that it has as columns= where you read it"
    )


def _las_columns(path: Path) -> dict[str, np.ndarray]:
    try:
        import laspy
    except ImportError as error:
        raise ImportError(
            f"datasets3d: {path} is a LAS file, which laspy reads: pip install 'fusion3d-datasets3d[las]'"
        ) from error
    try:
        las: Any = laspy.read(path)
        known = set(las.point_format.dimension_names)
        names = [*_LAS_DIMENSIONS, *(name for name in _LAS_COLOURS if name in known)]
        names += las.point_format.extra_dimension_names
        columns = {name: np.asarray(las[name]) for name in names}
        place = {axis: np.asarray(las[axis], np.float64) for axis in "xyz"}
    except Exception as error:  # what a damaged file raises in the decoders differs by the damage
        raise ValueError(
            f"datasets3d: {path} is no readable LAS file ({' '.join(str(error).split())}); copy it again"
        ) from None
    return {**place, **{name: column for name, column in columns.items() if column.ndim == 1}}
