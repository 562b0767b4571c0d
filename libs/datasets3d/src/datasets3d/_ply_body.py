"""The bodies of .ply files: rows of numbers and lists, as text or in bytes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np


class Property(NamedTuple):
    """One property of an element, a number or a list."""

    name: str
    dtype: str
    """Of a number, without byte order."""
    count_dtype: str = ""
    """Of the length in front of a list; empty for a single number."""


class Element(NamedTuple):
    """An element as the header declares it."""

    name: str
    rows: int
    properties: tuple[Property, ...]


class ListColumn(NamedTuple):
    """A list property of all rows, one behind the other."""

    lengths: np.ndarray
    values: np.ndarray


Columns = dict[str, "np.ndarray | ListColumn"]
Field = tuple[str, int]
CUT = "it is cut short"


class DamageError(Exception):
    """What is wrong with a file, for the error that names it."""


def refuse(is_wrong: bool, message: str) -> None:
    """Raise if something is wrong."""
    if is_wrong:
        raise DamageError(message)


class Binary:
    """Rows in bytes, taken from the front. A field of a row is a type and how many numbers of it it has."""

    def __init__(self, content: bytes, start: int, order: str) -> None:
        self._content = content
        self._at = start
        self._order = order

    def _dtype(self, fields: Sequence[Field]) -> np.dtype:
        return np.dtype([(str(i), self._order + kind, (length,)) for i, (kind, length) in enumerate(fields)])

    def fits(self, fields: Sequence[Field]) -> int:
        """Return how many rows of such fields there may be at most."""
        return (len(self._content) - self._at) // self._dtype(fields).itemsize

    def view(self, count: int, fields: Sequence[Field]) -> list[np.ndarray]:
        """Return so many rows, field by field [count, numbers], and take nothing."""
        rows = np.frombuffer(self._content, self._dtype(fields), count=count, offset=self._at)
        return [rows[str(i)] for i in range(len(fields))]

    def skip(self, count: int, fields: Sequence[Field]) -> None:
        """Take rows."""
        self._at += count * self._dtype(fields).itemsize

    def peek(self, properties: Sequence[Property]) -> list[Field]:
        """Return the fields of the next row; a list is the field of its length and that of its numbers."""
        fields: list[Field] = []
        for found in properties:
            if not found.count_dtype:
                fields.append((found.dtype, 1))
                continue
            fields.append((found.count_dtype, 1))
            refuse(self.fits(fields) < 1, CUT)
            length = _length(self.view(1, fields)[-1][0, 0])
            refuse(length > len(self._content) - self._at, CUT)
            fields.append((found.dtype, length))
            refuse(self.fits(fields) < 1, CUT)
        refuse(self.fits(fields) < 1, CUT)
        return fields


class Text:
    """Rows in words, as `Binary` has them in bytes."""

    def __init__(self, body: bytes) -> None:
        try:
            self._numbers = np.array(body.split(), np.float64)
        except ValueError as error:
            raise DamageError(str(error)) from None
        self._at = 0

    def fits(self, fields: Sequence[Field]) -> int:
        return (len(self._numbers) - self._at) // sum(length for _, length in fields)

    def view(self, count: int, fields: Sequence[Field]) -> list[np.ndarray]:
        width = sum(length for _, length in fields)
        rows = self._numbers[self._at : self._at + count * width].reshape(count, width)
        starts = np.cumsum([0, *(length for _, length in fields)]).tolist()
        return [rows[:, start:end] for start, end in pairwise(starts)]

    def skip(self, count: int, fields: Sequence[Field]) -> None:
        self._at += count * sum(length for _, length in fields)

    def peek(self, properties: Sequence[Property]) -> list[Field]:
        fields: list[Field] = []
        at = self._at
        for found in properties:
            refuse(at >= len(self._numbers), CUT)
            if not found.count_dtype:
                fields.append((found.dtype, 1))
                at += 1
                continue
            length = _length(_cast(self._numbers[at : at + 1], found.count_dtype)[0])
            fields += [(found.count_dtype, 1), (found.dtype, length)]
            at += 1 + length
        refuse(at > len(self._numbers), CUT)
        return fields


Body = Binary | Text


def _length(value: Any) -> int:
    length = int(value)
    refuse(length < 0, f"a list has the length {length}")
    return length


def _cast(numbers: np.ndarray, kind: str) -> np.ndarray:
    """Return numbers in the type that the header gives them; those of text may not fit."""
    with np.errstate(over="ignore", invalid="ignore"):
        found = numbers.astype(kind)
    is_text = numbers.dtype.kind == "f" and kind[0] != "f"
    refuse(is_text and not np.array_equal(found, numbers), "a whole number is none, or out of range")
    return found


def read_columns(body: Body, element: Element) -> Columns:
    properties = element.properties
    if not properties:
        return {}
    if any(found.count_dtype for found in properties):
        return _columns_with_lists(body, element)
    fields = [(found.dtype, 1) for found in properties]
    refuse(body.fits(fields) < element.rows, CUT)
    columns = body.view(element.rows, fields)
    body.skip(element.rows, fields)
    return {
        found.name: _cast(column[:, 0], found.dtype)
        for found, column in zip(properties, columns, strict=True)
    }


def _columns_with_lists(body: Body, element: Element) -> Columns:
    """Take rows in runs of equal lengths: most meshes are one run."""
    runs: list[list[np.ndarray]] = []
    left = element.rows
    while left:
        fields = body.peek(element.properties)
        count = _run_length(body, left, fields, element.properties)
        runs.append(body.view(count, fields))
        body.skip(count, fields)
        left -= count
    columns: Columns = {}
    at = 0
    for found in element.properties:
        if found.count_dtype:
            lengths = _chained([run[at][:, 0] for run in runs], "i8")
            columns[found.name] = ListColumn(lengths, _chained([run[at + 1] for run in runs], found.dtype))
        else:
            columns[found.name] = _chained([run[at] for run in runs], found.dtype)
        at += 2 if found.count_dtype else 1
    return columns


def _run_length(body: Body, left: int, fields: Sequence[Field], properties: Sequence[Property]) -> int:
    """Return how many of the next rows have lists as long as the first; looks ever further ahead."""
    places = np.cumsum([2 if found.count_dtype else 1 for found in properties]) - 2
    counted = [int(p) for p, found in zip(places, properties, strict=True) if found.count_dtype]
    ahead = 16
    while True:
        count = min(left, ahead, body.fits(fields))
        rows = body.view(count, fields)
        same = np.all([rows[at][:, 0] == fields[at + 1][1] for at in counted], axis=0)
        if not same.all():
            return int(np.argmin(same))
        if count < ahead:
            return count
        ahead *= 8


def _chained(parts: list[np.ndarray], kind: str) -> np.ndarray:
    return _cast(np.concatenate([part.ravel() for part in parts] or [np.zeros(0)]), kind)
