"""Read KITTI label and detection files; refuse every line that does not say what it must."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal, NoReturn, TypeAlias

import numpy as np

from evaluators.kitti.objects import KittiObjects

_BOX_FIELDS = ("x1", "y1", "x2", "y2", "height", "width", "length", "x", "y", "z", "rotation_y")
_LABEL_FIELDS = ("type", "truncated", "occluded", "alpha", *_BOX_FIELDS)
_DETECTION_FIELDS = (*_LABEL_FIELDS, "score")

NonFinite: TypeAlias = Literal["error", "keep"]
"""NaN and infinities: refuse them, or hand them on to a caller that drops and counts such rows."""


def read_labels(path: str | Path, *, non_finite: NonFinite = "error") -> KittiObjects:
    """Return the ground truth of one frame, in file order.

    A line has 15 fields separated by white space: type, truncated, occluded, alpha, x1 y1 x2 y2, height width
    length, x y z, rotation_y. Any type name is accepted. Blank lines are skipped; an empty file has no
    objects.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: A line has another number of fields, something that is not a number, a NaN or infinity, or
            an occlusion that is not a whole number. The message names file and line.
    """
    names, values = _read(Path(path), _LABEL_FIELDS, non_finite)
    return KittiObjects(
        names=names,
        truncated=values[:, 0],
        occluded=values[:, 1].astype(np.int64),
        alpha=values[:, 2],
        bbox=values[:, 3:7],
        size_hwl=values[:, 7:10],
        location=values[:, 10:13],
        rotation_y=values[:, 13],
    )


def read_detections(path: str | Path, *, non_finite: NonFinite = "error") -> KittiObjects:
    """Return the detections of one frame, in file order.

    A line has the 15 fields of a label file (truncated and occluded must be numbers but are not used) and the
    score, any real number. Otherwise as `read_labels`.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: As for `read_labels`.
    """
    names, values = _read(Path(path), _DETECTION_FIELDS, non_finite)
    return KittiObjects.detections(
        names,
        alpha=values[:, 2],
        bbox=values[:, 3:7],
        size_hwl=values[:, 7:10],
        location=values[:, 10:13],
        rotation_y=values[:, 13],
        score=values[:, 14],
    )


def _read(path: Path, fields: tuple[str, ...], non_finite: NonFinite) -> tuple[tuple[str, ...], np.ndarray]:
    """Return names [n] and the numbers after the name [n, len(fields) - 1]."""
    text = _decode(path)
    rows = [row for line in text.split("\n") if (row := line.split())]
    # float() also reads digits of other scripts and 1_000, which no other reader of the format does.
    lenient = not text.isascii() or text.count("_") != sum(row[0].count("_") for row in rows)
    if lenient or any(len(row) != len(fields) for row in rows):
        _check_lines(path, text, fields)
    try:
        numbers = [[float(token) for token in row[1:]] for row in rows]
    except ValueError:
        _check_lines(path, text, fields)
        raise
    values = np.array(numbers, dtype=np.float64).reshape(len(rows), len(fields) - 1)
    if non_finite == "error" and not np.isfinite(values).all():
        _refuse_value(path, text, fields, "a finite number", "drop that object or repair its writer")
    if fields is _LABEL_FIELDS and not np.array_equal(values[:, 1], np.floor(values[:, 1])):
        _refuse_value(path, text, fields, "a whole number", "occlusion is 0, 1, 2, 3 or -1")
    return tuple(row[0] for row in rows), values


def _decode(path: Path) -> str:
    content = path.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{path}, line {line}: expected text, got the byte {content[error.start]:#04x};"
            " is this a label file? Save it as plain text"
        ) from None


def _check_lines(path: Path, text: str, fields: tuple[str, ...]) -> None:
    """Raise for the first line with a wrong number of fields or something that is not a plain number."""
    for line, content in enumerate(text.split("\n"), start=1):
        row = content.split()
        if row and len(row) != len(fields):
            raise ValueError(
                f"{path}, line {line}: expected {len(fields)} fields ({' '.join(fields)}),"
                f" got {len(row)}; {_field_cure(len(row), len(fields))}"
            )
        for name, token in zip(fields[1:], row[1:], strict=False):
            if not _is_number(token):
                raise ValueError(
                    f"{path}, line {line}: expected a number for {name}, got {token[:40]!r};"
                    " write it in plain digits, such as -1.5e-3"
                )


def _is_number(token: str) -> bool:
    if "_" in token or not token.isascii():
        return False
    try:
        float(token)
    except ValueError:
        return False
    return True


def _field_cure(got: int, expected: int) -> str:
    if got == 15 and expected == 16:
        return "is this a label file? A detection needs its score as the last field"
    if got == 16 and expected == 15:
        return "is this a detection file? Ground truth has no score"
    return "repair the line or remove it"


def _refuse_value(path: Path, text: str, fields: tuple[str, ...], expected: str, cure: str) -> NoReturn:
    """Raise for the first number that is not finite, or the first occlusion that is not whole."""
    for line, content in enumerate(text.split("\n"), start=1):
        for name, token in zip(fields[1:], content.split()[1:], strict=False):
            value = float(token)
            wrong = not math.isfinite(value) if expected == "a finite number" else name == "occluded"
            if wrong and not value.is_integer():
                raise ValueError(
                    f"{path}, line {line}: expected {expected} for {name}, got {token!r}; {cure}"
                )
    raise AssertionError(f"{path}: no line to blame")
