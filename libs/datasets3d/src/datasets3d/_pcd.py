"""Clouds in the Point Cloud Data format: text, binary and compressed. Source: PCL's documentation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32

_KINDS = {f"{letter}{size}" for letter in "IU" for size in (1, 2, 4, 8)} | {"F4", "F8"}
_STARTS = (b"# .PCD", b"#.PCD", b"VERSION", b"FIELDS")
_SYNONYMS = {"intensity": ("i", "reflectivity", "reflectance", "remission"), "ring": ("line", "channel")}
_MAX_BYTES = 1 << 32
_MAX_LINE = 100_000


class _Field(NamedTuple):
    name: str
    dtype: str
    repeats: int
    """Numbers a point; the first is taken."""

    @property
    def size(self) -> int:
        """Bytes a point."""
        return np.dtype(self.dtype).itemsize * self.repeats


class _DamageError(Exception):
    """What is wrong with a file, for the error that names it."""


def is_pcd(head: bytes) -> bool:
    """Return whether a file starts as a .pcd file does.

    Example:
        >>> is_pcd(b"# .PCD v0.7 VERSION 0.7 FIELDS x y z"), is_pcd(b"1 2 3 0.5")
        (True, False)
    """
    return head.startswith(_STARTS) and b"FIELDS" in head


def parse(path: Path, content: bytes, columns: Sequence[str]) -> Float32[np.ndarray, "n c"]:
    """Return the named columns of the content of a .pcd file; further ones are left out.

    Organised clouds (HEIGHT above 1) become rows; places without a return stay NaN. Compressed files take a
    second per million bytes.

    Raises:
        ValueError: A column is missing, or a damaged header or body; names the file.
    """
    fields = read_fields(path, content)
    known = list(fields)
    chosen = {name: index for name in columns if (index := _find(name, known)) is not None}
    absent = [name for name in columns if name not in chosen]
    if absent:
        raise ValueError(
            f"datasets3d: {path} is a .pcd file without {' '.join(absent)}, it has {' '.join(known)}; "
            "add what is missing (0 where unknown), or rename the field that holds it"
        )
    with np.errstate(over="ignore", invalid="ignore"):
        return np.stack([fields[known[chosen[name]]].astype(np.float32) for name in columns], axis=1)


def read_fields(path: Path, content: bytes) -> dict[str, np.ndarray]:
    """Return every field of the content of a .pcd file by its name, the first where names repeat.

    Raises:
        ValueError: A damaged header or body; names the file.
    """
    try:
        header, start = _header(content)
        fields, count = _fields(header), _count(header)
        taken = _body(header["DATA"], content[start:], fields, count)
    except _DamageError as damage:
        raise ValueError(f"datasets3d: {path} is a damaged .pcd file: {damage}; write it again") from None
    found: dict[str, np.ndarray] = {}
    for field, numbers in zip(fields, taken, strict=True):
        found.setdefault(field.name, numbers)
    return found


def _header(content: bytes) -> tuple[dict[str, str], int]:
    """Return the values of the header by key, and where the body starts."""
    header: dict[str, str] = {}
    start = 0
    while "DATA" not in header:
        end = content.find(b"\n", start, start + _MAX_LINE)
        if end < 0:
            raise _DamageError("the header has no line DATA")
        key, _, values = content[start:end].decode("latin1").partition("#")[0].strip().partition(" ")
        start = end + 1
        if key:
            header[key.upper()] = values.strip()
    return header, start


def _fields(header: dict[str, str]) -> list[_Field]:
    names = header.get("FIELDS", "").split()
    counts = header.get("COUNT", "1 " * len(names)).split()
    sizes, letters = header.get("SIZE", "").split(), header.get("TYPE", "").upper().split()
    if not names or not len(names) == len(sizes) == len(letters) == len(counts):
        raise _DamageError("FIELDS, SIZE, TYPE and COUNT must have one word a field")
    fields = []
    for name, size, letter, count in zip(names, sizes, letters, counts, strict=True):
        if letter + size not in _KINDS:
            raise _DamageError(
                f"field {name} has TYPE {letter[:20]} SIZE {size[:20]}, which .pcd files do not know"
            )
        fields.append(_Field(name, f"<{letter.lower()}{size}", max(1, _whole(count, "COUNT"))))
    return fields


def _count(header: dict[str, str]) -> int:
    if "POINTS" in header:
        return _whole(header["POINTS"], "POINTS")
    return _whole(header.get("WIDTH", ""), "WIDTH") * _whole(header.get("HEIGHT", "1"), "HEIGHT")


def _whole(text: str, key: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 11):
        raise _DamageError(f"{key} must be a whole number, got {text[:40]!r}")
    return int(text)


def _find(name: str, fields: Sequence[str]) -> int | None:
    known = [field.lower() for field in fields]
    return next((known.index(n) for n in (name, *_SYNONYMS.get(name, ())) if n in known), None)


def _body(kind: str, body: bytes, fields: Sequence[_Field], count: int) -> list[np.ndarray]:
    """Return the first numbers of every field."""
    needed = count * sum(field.size for field in fields)
    if needed > _MAX_BYTES:
        raise _DamageError(f"its {count} points would take {needed} bytes")
    if kind == "ascii":
        return _from_text(body, fields, count)
    if kind == "binary":
        point = np.dtype([(str(i), field.dtype, (field.repeats,)) for i, field in enumerate(fields)])
        rows = np.frombuffer(_at_least(body, needed), point, count=count)
        return [rows[str(i)][:, 0] for i in range(len(fields))]
    if kind != "binary_compressed":
        raise _DamageError(f"DATA must be ascii, binary or binary_compressed, got {kind[:40]!r}")
    packed, size = np.frombuffer(_at_least(body, 8), "<u4", count=2).tolist()
    if size < needed:
        raise _DamageError(f"its points need {needed} bytes, the compressed block holds {size}")
    block = _unpack(_at_least(body[8:], packed)[:packed], size)
    found, at = [], 0
    for field in fields:  # column by column, unlike the uncompressed kind
        numbers = np.frombuffer(block, field.dtype, count=count * field.repeats, offset=at)
        found.append(numbers.reshape(count, field.repeats)[:, 0])
        at += count * field.size
    return found


def _from_text(body: bytes, fields: Sequence[_Field], count: int) -> list[np.ndarray]:
    width = sum(field.repeats for field in fields)
    try:
        numbers = np.array(body.split(), np.float64)
    except ValueError as error:
        raise _DamageError(str(error)) from None
    if len(numbers) != width * count:
        raise _DamageError(f"its {count} points need {width * count} numbers, it has {len(numbers)}")
    first = np.cumsum([0, *(field.repeats for field in fields)])[:-1]
    return list(numbers.reshape(count, width)[:, first].T)


def _at_least(body: bytes, needed: int) -> bytes:
    if len(body) < needed:
        raise _DamageError(f"it needs {needed} bytes after its header and has {len(body)}")
    return body


def _unpack(packed: bytes, size: int) -> bytes:
    """Undo LZF: a byte below 32 announces bytes as they are, any other a piece that was there before."""
    out = bytearray()
    at = 0
    try:
        while at < len(packed):
            control = packed[at]
            at += 1
            if control < 32:
                out += packed[at : at + control + 1]
                at += control + 1
                continue
            length, far = control >> 5, (control & 31) << 8
            if length == 7:
                length += packed[at]
                at += 1
            start = len(out) - far - packed[at] - 1
            at += 1
            if start < 0:
                raise IndexError
            piece = out[start : start + length + 2]
            out += (piece * (length // len(piece) + 2))[: length + 2]
    except IndexError:
        raise _DamageError("its compressed block is broken") from None
    if len(out) != size:
        raise _DamageError(f"its compressed block gives {len(out)} bytes instead of {size}")
    return bytes(out)
