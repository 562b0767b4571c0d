"""Read KITTI label and detection files; refuse every line that does not say what it must."""

# The compiled kernels carry no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, NoReturn, TypeAlias

import numpy as np

from evaluators._files import decoded
from evaluators.kitti._rows import (
    ALPHA,
    BBOX,
    LOCATION,
    OCCLUDED,
    ROTATION_Y,
    SCORE,
    SIZE_HWL,
    TRUNCATED,
    Rows,
)
from evaluators.kitti.objects import KittiObjects

_BOX_FIELDS = ("x1", "y1", "x2", "y2", "height", "width", "length", "x", "y", "z", "rotation_y")
_LABEL_FIELDS = ("type", "truncated", "occluded", "alpha", *_BOX_FIELDS)
_DETECTION_FIELDS = (*_LABEL_FIELDS, "score")

NonFinite: TypeAlias = Literal["error", "keep"]
"""NaN and infinities: refuse them, or hand them on to a caller that drops and counts such rows."""


def read_ground_truth(path: str | Path, *, non_finite: NonFinite = "error") -> KittiObjects:
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
    objects = _objects(names, np.column_stack([values, np.zeros(len(names))]))
    occluded = values[:, OCCLUDED].astype(np.int64)
    return replace(objects, truncated=values[:, TRUNCATED], occluded=occluded, score=None)


def read_predictions(path: str | Path, *, non_finite: NonFinite = "error") -> KittiObjects:
    """Return the detections of one frame, in file order.

    A line has the 15 fields of a label file (truncated and occluded must be numbers but are not used) and the
    score, any real number. Otherwise as `read_ground_truth`.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: As for `read_ground_truth`.
    """
    return _objects(*_read(Path(path), _DETECTION_FIELDS, non_finite))


def _objects(names: Sequence[str], values: np.ndarray) -> KittiObjects:
    return KittiObjects.predictions(
        names,
        alpha=values[:, ALPHA],
        bbox=values[:, BBOX],
        size_hwl=values[:, SIZE_HWL],
        location=values[:, LOCATION],
        rotation_y=values[:, ROTATION_Y],
        score=values[:, SCORE],
    )


def read_label_rows(paths: Sequence[Path], non_finite: NonFinite) -> Rows:
    """Return the ground truth of several frames; see `read_ground_truth`."""
    read = [_read(path, _LABEL_FIELDS, non_finite) for path in paths]
    return Rows.of([names for names, _ in read], [values for _, values in read], len(_LABEL_FIELDS) - 1)


def read_detection_rows(paths: Sequence[Path | None], non_finite: NonFinite) -> Rows:
    """Return the detections of several frames, none where the path is None; see `read_predictions`."""
    columns = len(_DETECTION_FIELDS) - 1
    nothing: tuple[tuple[str, ...], np.ndarray] = (), np.empty((0, columns))
    read = [nothing if path is None else _read(path, _DETECTION_FIELDS, non_finite) for path in paths]
    return Rows.of([names for names, _ in read], [values for _, values in read], columns)


def _read(path: Path, fields: tuple[str, ...], non_finite: NonFinite) -> tuple[tuple[str, ...], np.ndarray]:
    """Return names [n] and the numbers after the name [n, len(fields) - 1]."""
    content = path.read_bytes()
    names, values = _scan(content, fields) or _read_closely(path, content, fields)
    if non_finite == "error" and not np.isfinite(values).all():
        _refuse_value(path, content, fields, "a finite number", "drop that object or repair its writer")
    occluded = values[:, OCCLUDED]
    if fields is _LABEL_FIELDS and not (np.floor(occluded) == occluded).all():
        _refuse_value(path, content, fields, "a whole number", "occlusion is 0, 1, 2, 3 or -1")
    return names, values


def _scan(content: bytes, fields: tuple[str, ...]) -> tuple[tuple[str, ...], np.ndarray] | None:
    """Return names and numbers of a file that is as it should be, or None if it takes a closer look."""
    from evaluators.kitti import _scanner

    lines = content.count(b"\n") + 1
    rows, spans, values, hard = _scanner.scan_lines(np.frombuffer(content, np.uint8), len(fields), lines)
    if rows < 0:
        return None
    for row, column, start, end in hard.tolist():
        token = content[start:end].decode("ascii")
        if not _is_number(token):
            return None
        values[row, column] = float(token)
    names = [content[start:end].decode("ascii") for start, end in spans[:rows].tolist()]
    return tuple(names), values[:rows]


def _read_closely(path: Path, content: bytes, fields: tuple[str, ...]) -> tuple[tuple[str, ...], np.ndarray]:
    """Return names and numbers line by line; refuse the first line that is not as it should be."""
    text = decoded(path, content)
    _check_lines(path, text, fields)
    rows = [row for line in text.split("\n") if (row := line.split())]
    numbers = [[float(token) for token in row[1:]] for row in rows]
    values = np.array(numbers, dtype=np.float64).reshape(len(rows), len(fields) - 1)
    return tuple(row[0] for row in rows), values


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


def _refuse_value(path: Path, content: bytes, fields: tuple[str, ...], expected: str, cure: str) -> NoReturn:
    """Raise for the first number that is not finite, or the first occlusion that is not whole."""
    text = decoded(path, content)
    for line, written in enumerate(text.split("\n"), start=1):
        for name, token in zip(fields[1:], written.split()[1:], strict=False):
            value = float(token)
            wrong = not math.isfinite(value) if expected == "a finite number" else name == "occluded"
            if wrong and not value.is_integer():
                raise ValueError(
                    f"{path}, line {line}: expected {expected} for {name}, got {token!r}; {cure}"
                )
    raise AssertionError(f"{path}: no line to blame")
