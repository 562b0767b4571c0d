"""Own scans of rooms, whatever the file: x y z as they are, and colours if there are any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from geom3d import transforms
from jaxtyping import Float32, UInt8

from datasets3d import _recognise
from datasets3d._scan_columns import SUFFIXES, read_columns
from datasets3d.indoor.room import Room

FAR = 8192.0
"""Beyond, float32 no longer holds a thousandth of the unit."""
_COLOUR_NAMES = (
    ("red", "green", "blue"),
    ("r", "g", "b"),
    ("diffuse_red", "diffuse_green", "diffuse_blue"),
)
_PACKED_NAMES = ("rgb", "rgba")
"""Of .pcd files: a number whose bytes are blue, green, red."""
_BY_WIDTH: dict[int, tuple[str, ...]] = {
    3: ("x", "y", "z"),
    4: ("x", "y", "z", "intensity"),
    6: ("x", "y", "z", "red", "green", "blue"),
    7: ("x", "y", "z", "red", "green", "blue", "alpha"),
    9: ("x", "y", "z", "red", "green", "blue", "nx", "ny", "nz"),
}
"""Columns of files that do not name theirs, by their number."""
_ORDER_OF_WIDTHS = (6, 3, 4)
"""In which those of a headerless file are tried."""
_CHUNK = 1 << 20


def read_room(path: Path | str, *, columns: Sequence[str] | None = None) -> Room:
    """Read the scan of a room from any file: points in the axes and the unit of the file.

    Of meshes the vertices are read. Nothing is repaired, see `own_scan.repair_room`; only coordinates whose
    middle lies beyond `FAR`, as maps have them, are moved by whole numbers, since float32 would round them:
    then `aligned_from_scan` says by how much. Colours of 0 to 1, 0 to 255 and 0 to 65535 are told apart by
    the greatest. Numbers that are not finite stay; `repair_room` drops them.

    Args:
        path: `.ply`, `.npy`, `.pcd`, `.las`, `.laz`, or headerless float32. What a file is, its content says.
        columns: Of files that do not name theirs; None: x y z, x y z intensity or x y z red green blue, by
            their number. In a headerless file that is a guess, of which its numbers tell.

    Returns:
        The room, called as the file without its ending; no classes, instances or objects.

    Raises:
        FileNotFoundError: No such file.
        ValueError: A damaged file, one without x y z, or of another kind; names the file and the cure.
        ImportError: A LAS file, and the reader is not installed.
    """
    path = Path(path)
    if not path.is_file():
        hint = f"; expected a file {' '.join(SUFFIXES)}" if path.is_dir() else ""
        raise FileNotFoundError(f"datasets3d: no scan {path}{hint}")
    found = read_columns(path, tuple(columns) if columns is not None else _unnamed(path))
    known = {name.lower(): values for name, values in reversed(found.items())}
    absent = [axis for axis in "xyz" if axis not in known]
    if absent:
        raise ValueError(
            f"datasets3d: {path} has no column {' '.join(absent)}, it has {' '.join(found) or 'none'}; "
            "rename the columns that hold it, or write the vertices of the mesh"
        )
    xyz = [known[axis] for axis in "xyz"]
    origin = _far_origin(xyz)
    return Room(
        name=path.stem,
        points=_points(xyz, origin),
        colors=_colours(known),
        aligned_from_scan=transforms.from_parts(np.eye(3), -origin) if origin.any() else None,
    )


def _unnamed(path: Path) -> tuple[str, ...]:
    """Return what the columns of a file are that does not name them."""
    with path.open("rb") as handle:
        head = handle.read(4096)
    if head.startswith(_recognise.NPY):
        try:
            shape = np.load(path, mmap_mode="r", allow_pickle=False).shape
        except (ValueError, OSError):
            shape = ()  # told by what reads it
        return _BY_WIDTH.get(shape[1] if len(shape) == 2 else 3, _BY_WIDTH[3])
    if _recognise.kind(head) is not None:
        return _BY_WIDTH[3]
    values = np.memmap(path, "<f4", mode="r") if path.stat().st_size % 4 == 0 and head else np.zeros(0, "<f4")
    fitting = [width for width in _ORDER_OF_WIDTHS if len(values) % width == 0]
    first = values[: 1 << 16].astype(np.float32)
    for width in fitting:
        rows = first[: len(first) // width * width]
        if _recognise.is_foreign(rows, width):
            continue
        if width != 6 or _as_bytes(list(rows.reshape(-1, 6)[:, 3:].T)) is not None:
            return _BY_WIDTH[width]
    return _BY_WIDTH[fitting[0] if fitting else 3]


def _far_origin(xyz: Sequence[np.ndarray]) -> np.ndarray:
    """Return the middle in whole numbers if it is far from the origin, else 0; of every so manieth point."""
    step = max(1, len(xyz[0]) // 100_000)
    some = np.stack([axis[::step].astype(np.float64) for axis in xyz], axis=1)
    some = some[np.isfinite(some).all(axis=1)]
    middle = np.median(some, axis=0) if len(some) else np.zeros(3)
    return np.floor(middle) if np.abs(middle).max() > FAR else np.zeros(3)


def _points(xyz: Sequence[np.ndarray], origin: np.ndarray) -> Float32[np.ndarray, "n 3"]:
    points = np.empty((len(xyz[0]), 3), np.float32)
    with np.errstate(over="ignore"):  # becomes infinite, which is looked for later
        for column, (values, start) in enumerate(zip(xyz, origin, strict=True)):
            for at in range(0, len(points), _CHUNK):
                points[at : at + _CHUNK, column] = values[at : at + _CHUNK].astype(np.float64) - start
    return points


def _colours(columns: Mapping[str, np.ndarray]) -> UInt8[np.ndarray, "n 3"] | None:
    for names in _COLOUR_NAMES:
        if all(name in columns for name in names):
            return _as_bytes([columns[name] for name in names])
    packed = next((columns[name] for name in _PACKED_NAMES if name in columns), None)
    if packed is None or packed.dtype.itemsize != 4:
        return None
    bits = np.ascontiguousarray(packed).view(np.uint32)
    return np.stack([bits >> 16 & 255, bits >> 8 & 255, bits & 255], axis=1).astype(np.uint8)


def _as_bytes(channels: Sequence[np.ndarray]) -> UInt8[np.ndarray, "n 3"] | None:
    """Return three channels as 0..255, whatever their scale; None if they are no colours, such as normals."""
    if not all(len(channel) and np.isfinite(channel).all() and channel.min() >= 0 for channel in channels):
        return None if len(channels[0]) else np.zeros((0, 3), np.uint8)
    greatest = max(float(channel.max()) for channel in channels)
    if greatest > 65535:
        return None
    is_share = channels[0].dtype.kind == "f" and greatest <= 1
    scale = 255.0 if is_share else 1.0 if greatest <= 255 else 255 / 65535
    rounded = np.empty((len(channels[0]), 3), np.uint8)
    for column, channel in enumerate(channels):
        exact = scale == 1.0 and channel.dtype.kind != "f"
        rounded[:, column] = channel if exact else np.rint(channel.astype(np.float32) * np.float32(scale))
    return rounded
