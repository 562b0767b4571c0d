"""The 13 JSON tables of a version folder, without the official kit."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from datasets3d.nuscenes._json_array import read_records
from datasets3d.nuscenes.records.record import Pose

Record: TypeAlias = Mapping[str, Any]
"""Values by field, as they stand in the file."""

TABLES = (
    *("attribute", "calibrated_sensor", "category", "ego_pose", "instance", "log", "map"),
    *("sample", "sample_annotation", "sample_data", "scene", "sensor", "visibility"),
)


class Row:
    """One record of a table, with checked access to its fields: errors name table, token and field."""

    __slots__ = ("path", "record", "token")

    def __init__(self, path: Path, record: Record) -> None:
        self.path = path
        self.record = record
        self.token: str = record["token"]

    def __str__(self) -> str:
        """Return what it is called in messages."""
        return f"{self.path.stem} {self.token!r}"

    def text(self, field: str) -> str:
        """Return a field that holds text.

        Raises:
            ValueError: It is missing or no text.
        """
        value = self._field(field)
        if not isinstance(value, str):
            raise self._wrong(field, "text")
        return value

    def whole(self, field: str) -> int:
        """Return a field that holds a whole number; errors as for `text`."""
        value = self._field(field)
        if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
            raise self._wrong(field, "a whole number")
        return int(value)

    def numbers(self, field: str, count: int) -> tuple[float, ...]:
        """Return a field that holds a list of so many finite numbers; errors as for `text`."""
        found = finite_numbers(self._field(field), count)
        if found is None:
            raise self._wrong(field, f"{count} finite numbers")
        return found

    def pose(self) -> Pose:
        """Return translation and rotation; errors as for `text`."""
        translation, rotation = self.numbers("translation", 3), self.numbers("rotation", 4)
        if not any(rotation):
            raise self._wrong("rotation", "a quaternion")
        return Pose.of(translation, rotation)

    def intrinsic(self) -> tuple[tuple[float, float, float], ...]:
        """Return the 3x3 camera matrix of a calibrated sensor; errors as for `text`."""
        found = finite_matrix(self._field("camera_intrinsic"))
        if found is None:
            raise self._wrong("camera_intrinsic", "3 rows of 3 finite numbers")
        return found

    def dangling(self, field: str, table: str) -> ValueError:
        """Return the error of a field whose token is not in another table."""
        return ValueError(
            f"datasets3d.nuscenes: {self.path.with_name(f'{table}.json')}: no record with token "
            f"{self.record[field]!r}, which {self} asks for as {field}"
        )

    def _field(self, field: str) -> Any:
        if field not in self.record:
            raise ValueError(f"datasets3d.nuscenes: {self.path}: {self} has no {field}")
        return self.record[field]

    def _wrong(self, field: str, expected: str) -> ValueError:
        return ValueError(
            f"datasets3d.nuscenes: {self.path}: {field} of {self} must be {expected}, "
            f"got {str(self.record[field])[:80]}"
        )


class Table:
    """The wanted records of one table, by token, in file order.

    The file is read a record at a time, so that a table of a gigabyte costs only what is kept of it.

    Args:
        folder: The version folder, such as `data/nuscenes/v1.0-trainval`.
        name: One of `TABLES`.
        wanted: Which records to keep; None keeps all.
        progress: Show a bar, for the tables that take seconds.

    Raises:
        FileNotFoundError: There is no such table.
        ValueError: It is no JSON list of records, a record has no token, or two share one.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        wanted: Callable[[Record], bool] | None = None,
        *,
        progress: bool = False,
    ) -> None:
        self.name = name
        self.path = folder / f"{name}.json"
        self._rows: dict[str, Row] = {}
        for row in stream(folder, name, progress=progress):
            if wanted is None or wanted(row.record):
                if row.token in self._rows:
                    raise ValueError(
                        f"datasets3d.nuscenes: {self.path}: two records have token {row.token!r}"
                    )
                self._rows[row.token] = row

    def __iter__(self) -> Iterator[Row]:
        """Iterate over the records."""
        return iter(self._rows.values())

    def follow(self, row: Row, field: str) -> Row:
        """Return the record whose token a field of another record holds.

        Raises:
            ValueError: There is none, or the field is missing or no text; blames the other record.
        """
        found = self._rows.get(row.text(field))
        if found is None:
            raise row.dangling(field, self.name)
        return found


def stream(folder: Path, name: str, *, progress: bool = False) -> Iterator[Row]:
    """Yield the records of a table in file order, without keeping them; errors as for `Table`."""
    path = folder / f"{name}.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"datasets3d.nuscenes: no table {path}; expected the folder of the data set with its metadata "
            "unpacked"
        )
    for record in read_records(path, progress=progress):
        if not isinstance(record.get("token"), str):
            raise ValueError(
                f"datasets3d.nuscenes: {path}: expected records with a token, got {str(record)[:80]}"
            )
        yield Row(path, record)


def refers_to(record: Record, field: str, tokens: Container[str], known: Container[str]) -> bool:
    """Return whether a field holds one of the tokens, or nothing that is known and so must be refused.

    For `Table(wanted=...)`: what leads nowhere is kept, so that it is reported and not lost.
    """
    value = record.get(field)
    return not isinstance(value, str) or value in tokens or value not in known


def finite_numbers(values: Any, count: int) -> tuple[float, ...] | None:
    """Return so many finite numbers as floats, or None if the values are anything else."""
    if not isinstance(values, list | tuple) or len(values) != count:
        return None
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return None
    try:
        numbers = tuple(float(value) for value in values)
    except OverflowError:
        return None
    return numbers if all(map(math.isfinite, numbers)) else None


def finite_matrix(values: Any) -> tuple[tuple[float, float, float], ...] | None:
    """Return three rows of three finite numbers as floats, or None if the values are anything else."""
    rows = [finite_numbers(row, 3) for row in values] if isinstance(values, list) else []
    if len(rows) != 3 or None in rows:
        return None
    return tuple((row[0], row[1], row[2]) for row in rows if row)
