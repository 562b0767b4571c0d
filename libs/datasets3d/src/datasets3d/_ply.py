"""Clouds and meshes in the Polygon File Format: text and both binary kinds. Source: Greg Turk's description.

Elements other than those asked for are skipped. A file is read whole: it is no larger than the memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int32, Integer, UInt8

from datasets3d import _atomic
from datasets3d._ply_body import (
    Binary,
    Body,
    Columns,
    DamageError,
    Element,
    ListColumn,
    Property,
    Text,
    read_columns,
    refuse,
)

_TYPES = {
    **{"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4"},
    **{"int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4"},
    **{"float": "f4", "double": "f8", "float32": "f4", "float64": "f8"},
}
_NAMES = {
    "i1": "char",
    "u1": "uchar",
    "i2": "short",
    "u2": "ushort",
    "i4": "int",
    "u4": "uint",
    "f4": "float",
}
_ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">"}
_CORNERS = ("vertex_indices", "vertex_index")
_MAX_HEADER = 1 << 20


class Mesh(NamedTuple):
    """A mesh: vertices as named columns, and triangles."""

    vertices: dict[str, np.ndarray]
    """Every property of the vertices by its name, in the type of the file; lists are left out."""
    triangles: Int32[np.ndarray, "f 3"]
    """Rows of the corners. A polygon of more corners is cut into triangles that share its first."""


def is_ply(head: bytes) -> bool:
    r"""Return whether a file starts as a .ply file does.

    Example:
        >>> is_ply(b"ply\nformat ascii 1.0\n"), is_ply(b"plywood")
        (True, False)
    """
    return head.startswith((b"ply\n", b"ply\r\n"))


def read_vertices(path: Path | str) -> dict[str, np.ndarray]:
    """Read the properties of the vertices (points) of a .ply file, by name, in the type of the file.

    Lists are left out; a file without vertices has none.

    Raises:
        FileNotFoundError: No such file.
        ValueError: No .ply file, or a damaged one; names the file and what is wrong.
    """
    path = _existing(path)
    return _single(_read(path, ("vertex",)).get("vertex", {}))


def read_mesh(path: Path | str) -> Mesh:
    """Read vertices and faces of a .ply file; errors as of `read_vertices`.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Besides, faces without corners, or corners that are no vertices.
    """
    path = _existing(path)
    elements = _read(path, ("vertex", "face"))
    vertices = _single(elements.get("vertex", {}))
    count = len(next(iter(vertices.values()), ()))
    faces = elements.get("face", {})
    corners = next((faces[name] for name in _CORNERS if name in faces), None)
    if not isinstance(corners, ListColumn):
        if faces:
            raise ValueError(f"datasets3d: {path}: its faces have no list {' or '.join(_CORNERS)}")
        return Mesh(vertices, np.zeros((0, 3), np.int32))
    values = corners.values
    if values.size and (values.dtype.kind == "f" or not 0 <= values.min() <= values.max() < count):
        raise ValueError(
            f"datasets3d: {path}: corners of its faces must be vertices 0..{count - 1}, got "
            f"{values.min()}..{values.max()}"
        )
    return Mesh(vertices, _triangles(corners))


def write_ply(
    path: Path | str,
    points: Float32[np.ndarray, "n 3"],
    *,
    colours_rgb: UInt8[np.ndarray, "n 3"] | None = None,
    columns: Mapping[str, Float32[np.ndarray, " n"] | Integer[np.ndarray, " n"]] | None = None,
) -> None:
    """Write points as a binary little-endian .ply file, whole or not at all.

    Args:
        path: The file; missing folders are made.
        points: x y z.
        colours_rgb: Written as red green blue, which viewers show.
        columns: Further numbers of every point, such as labels, by name: float32 or integers of 8 to 32 bits.

    Raises:
        TypeError: A column of a type that .ply files do not have.
        ValueError: A name that is taken or no word, or columns of different lengths.
    """
    vertices = _vertices(points, colours_rgb, columns or {})
    _atomic.write_bytes(Path(path), _header_text([("vertex", vertices)]) + vertices.tobytes())


def write_mesh(
    path: Path | str,
    points: Float32[np.ndarray, "n 3"],
    triangles: Int32[np.ndarray, "f 3"],
    *,
    colours_rgb: UInt8[np.ndarray, "n 3"] | None = None,
) -> None:
    """Write a mesh as a binary little-endian .ply file, whole or not at all; as `write_ply` with triangles.

    Raises:
        ValueError: A corner that is no point, or columns of different lengths.
    """
    if triangles.size and not 0 <= triangles.min() <= triangles.max() < len(points):
        raise ValueError(
            f"write_mesh: corners must be points 0..{len(points) - 1}, got {triangles.min()}.."
            f"{triangles.max()}"
        )
    vertices = _vertices(points, colours_rgb, {})
    faces = np.zeros(len(triangles), [("count", "u1"), (_CORNERS[0], "<i4", (3,))])
    faces["count"], faces[_CORNERS[0]] = 3, triangles
    header = _header_text([("vertex", vertices), ("face", faces)])
    _atomic.write_bytes(Path(path), header + vertices.tobytes() + faces.tobytes())


def _vertices(
    points: np.ndarray, colours_rgb: np.ndarray | None, columns: Mapping[str, np.ndarray]
) -> np.ndarray:
    """Return the rows of a file, fields called as its properties."""
    parts: dict[str, np.ndarray] = {name: points[:, i] for i, name in enumerate("xyz")}
    if colours_rgb is not None:
        parts |= {name: colours_rgb[:, i] for i, name in enumerate(("red", "green", "blue"))}
    for name, values in columns.items():
        if name in parts or not name.isascii() or len(name.split()) != 1:
            raise ValueError(f"write_ply: column {name!r} is taken, or is no word")
        parts[name] = values
    for name, values in parts.items():
        if values.dtype.str[1:] not in _NAMES:
            raise TypeError(
                f"write_ply: column {name!r} is {values.dtype}; expected float32 or integers of 8 to 32 bits"
            )
        if len(values) != len(points):
            raise ValueError(f"write_ply: {len(points)} points, but {len(values)} values of {name!r}")
    rows = np.zeros(len(points), [(name, f"<{values.dtype.str[1:]}") for name, values in parts.items()])
    for name, values in parts.items():
        rows[name] = values
    return rows


def _header_text(elements: list[tuple[str, np.ndarray]]) -> bytes:
    lines = ["ply", "format binary_little_endian 1.0"]
    for element, rows in elements:
        lines.append(f"element {element} {len(rows)}")
        for name in rows.dtype.names or ():
            if name == _CORNERS[0]:
                lines.append(f"property list uchar int {name}")
            elif element == "vertex":
                lines.append(f"property {_NAMES[rows.dtype[name].str[1:]]} {name}")
    return "".join(f"{line}\n" for line in [*lines, "end_header"]).encode()


def _existing(path: Path | str) -> Path:
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"datasets3d: no .ply file {path}")
    return path


def _read(path: Path, wanted: tuple[str, ...]) -> dict[str, Columns]:
    content = path.read_bytes()
    if not is_ply(content[:8]):
        raise ValueError(f"datasets3d: {path} is no .ply file: it does not start with a line `ply`")
    try:
        kind, elements, start = _header(content)
        body: Body
        if kind == "ascii":
            body = Text(content[start:])
        elif kind in _ORDERS:
            body = Binary(content, start, _ORDERS[kind])
        else:
            raise DamageError(f"its format must be ascii, {' or '.join(_ORDERS)}, got {kind[:40]!r}")
        found: dict[str, Columns] = {}
        last = max((i for i, element in enumerate(elements) if element.name in wanted), default=-1)
        for element in elements[: last + 1]:
            columns = read_columns(body, element)
            if element.name in wanted:
                found[element.name] = columns
        return found
    except DamageError as damage:
        raise ValueError(f"datasets3d: {path} is a damaged .ply file: {damage}; write it again") from None


def _single(columns: Columns) -> dict[str, np.ndarray]:
    return {name: values for name, values in columns.items() if isinstance(values, np.ndarray)}


def _header(content: bytes) -> tuple[str, list[Element], int]:
    """Return format, elements, and where the body starts."""
    kind, elements, start = "", list[Element](), 0
    while True:
        end = content.find(b"\n", start, start + _MAX_HEADER)
        if end < 0:
            raise DamageError("its header has no line end_header")
        words = content[start:end].decode("latin1").split()
        start = end + 1
        match words:
            case ["end_header"]:
                break
            case ["format", kind, *_]:
                pass
            case ["element", name, count]:
                refuse(
                    any(name == element.name for element in elements), f"element {name[:40]!r} comes twice"
                )
                elements.append(Element(name, _whole(count, name), ()))
            case ["property", *rest]:
                if not elements:
                    raise DamageError("a property comes before any element")
                elements[-1] = _extended(elements[-1], rest)
            case [] | ["ply"] | ["comment" | "obj_info", *_]:
                pass
            case _:
                raise DamageError(f"its header has the line {' '.join(words)[:60]!r}")
    return kind, elements, start


def _extended(element: Element, words: list[str]) -> Element:
    match words:
        case ["list", count, of, name] if {count, of} <= _TYPES.keys():
            added = Property(name, _TYPES[of], _TYPES[count])
            refuse(added.count_dtype[0] == "f", f"the lengths of list {name[:40]!r} are no whole numbers")
        case [of, name] if of in _TYPES:
            added = Property(name, _TYPES[of])
        case _:
            raise DamageError(f"its header has the line {'property ' + ' '.join(words)[:60]!r}")
    refuse(
        any(added.name == known.name for known in element.properties),
        f"property {added.name[:40]!r} of {element.name[:40]!r} comes twice",
    )
    return element._replace(properties=(*element.properties, added))


def _whole(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 11):
        raise DamageError(f"the number of {name[:40]!r} must be whole, got {text[:40]!r}")
    return int(text)


def _triangles(corners: ListColumn) -> Int32[np.ndarray, "f 3"]:
    starts = np.cumsum(corners.lengths) - corners.lengths
    pieces = np.maximum(corners.lengths - 2, 0)
    first = np.repeat(starts, pieces)
    second = first + 1 + np.arange(len(first)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    return corners.values[np.stack([first, second, second + 1], axis=1)].astype(np.int32)
