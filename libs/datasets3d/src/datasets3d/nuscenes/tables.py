"""The 13 JSON tables of a version folder, without the official kit."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from datasets3d.nuscenes._json_array import read_records
from datasets3d.nuscenes.records import Pose

Record: TypeAlias = Mapping[str, Any]
"""One row of a table: values by field."""

TABLES = (
    *("attribute", "calibrated_sensor", "category", "ego_pose", "instance", "log", "map"),
    *("sample", "sample_annotation", "sample_data", "scene", "sensor", "visibility"),
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
        self._records: dict[str, Record] = {}
        for record in stream(folder, name, progress=progress):
            if wanted is None or wanted(record):
                token = record["token"]
                if token in self._records:
                    raise ValueError(f"datasets3d.nuscenes: {self.path}: two records have token {token!r}")
                self._records[token] = record

    def __iter__(self) -> Iterator[Record]:
        """Iterate over the records."""
        return iter(self._records.values())

    def __len__(self) -> int:
        """Count the records."""
        return len(self._records)

    def __contains__(self, token: object) -> bool:
        """Return whether a record with that token was kept."""
        return token in self._records

    def get(self, token: str, *, asked_by: str) -> Record:
        """Return the record with that token.

        Raises:
            ValueError: There is none; blames `asked_by`.
        """
        record = self._records.get(token)
        if record is None:
            raise ValueError(
                f"datasets3d.nuscenes: {self.path}: no record with token {token!r}, which {asked_by} asks for"
            )
        return record

    def called(self, record: Record) -> str:
        """Return what a record is called in messages."""
        return f"{self.name} {record['token']!r}"

    def text(self, record: Record, field: str) -> str:
        """Return a field that holds text.

        Raises:
            ValueError: It is missing or no text; names table, token and field.
        """
        value = self._field(record, field)
        if not isinstance(value, str):
            raise self._wrong(record, field, "text", value)
        return value

    def whole(self, record: Record, field: str) -> int:
        """Return a field that holds a whole number; errors as for `text`."""
        value = self._field(record, field)
        if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
            raise self._wrong(record, field, "a whole number", value)
        return int(value)

    def numbers(self, record: Record, field: str, count: int) -> tuple[float, ...]:
        """Return a field that holds a list of so many finite numbers; errors as for `text`."""
        value = self._field(record, field)
        found = finite_numbers(value, count)
        if found is None:
            raise self._wrong(record, field, f"{count} finite numbers", value)
        return found

    def pose(self, record: Record) -> Pose:
        """Return translation and rotation of a record; errors as for `text`."""
        x, y, z = self.numbers(record, "translation", 3)
        qw, qx, qy, qz = self.numbers(record, "rotation", 4)
        if not any((qw, qx, qy, qz)):
            raise self._wrong(record, "rotation", "a quaternion", record["rotation"])
        return Pose(translation=(x, y, z), rotation=(qw, qx, qy, qz))

    def intrinsic(self, record: Record) -> tuple[tuple[float, float, float], ...]:
        """Return the 3x3 camera matrix of a calibrated sensor; errors as for `text`."""
        value = self._field(record, "camera_intrinsic")
        rows = [finite_numbers(row, 3) for row in value] if isinstance(value, list) else []
        if len(rows) != 3 or None in rows:
            raise self._wrong(record, "camera_intrinsic", "3 rows of 3 finite numbers", value)
        return tuple((row[0], row[1], row[2]) for row in rows if row)

    def _field(self, record: Record, field: str) -> Any:
        if field not in record:
            raise ValueError(f"datasets3d.nuscenes: {self.path}: {self.called(record)} has no {field}")
        return record[field]

    def _wrong(self, record: Record, field: str, expected: str, got: object) -> ValueError:
        return ValueError(
            f"datasets3d.nuscenes: {self.path}: {field} of {self.called(record)} must be {expected}, "
            f"got {str(got)[:80]}"
        )


def stream(folder: Path, name: str, *, progress: bool = False) -> Iterator[dict[str, Any]]:
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
        yield record


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
