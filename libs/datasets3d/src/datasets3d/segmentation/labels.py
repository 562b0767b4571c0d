"""Label tables: which raw id of a label file is which class, as data."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Integer, UInt8, UInt32

from datasets3d._validate import nearest_names
from datasets3d.segmentation.scan import IGNORED

MAX_CLASSES = 254
"""Indices 0..253; 255 is `IGNORED`, and 254 marks what a table does not know."""
_STRANGE = 254
_SHOWN = 5

Unknown: TypeAlias = Literal["error"] | int
"""What a raw id is that the table does not list: an error, or always this class (or `IGNORED`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelTable:
    """Which raw id is which class. A raw id is what the lower 16 bits of a label hold, 0 to 65535.

    Raises:
        ValueError: The parts contradict each other; names the table and the part.

    Example:
        >>> table = LabelTable(
        ...     name="mine",
        ...     classes=("road", "car"),
        ...     raw_to_class=((0, IGNORED), (40, 0), (10, 1), (252, 1)),
        ...     class_to_raw=(40, 10),
        ...     colours_rgb=((255, 0, 255), (100, 150, 245)),
        ...     things=("car",),
        ... )
        >>> table.class_indices(np.array([40, 252 + (7 << 16), 0], np.uint32)).tolist()
        [0, 1, 255]
        >>> table.raw_ids(np.array([0, 1, 255])).tolist()
        [40, 10, 0]
    """

    name: str
    classes: tuple[str, ...]
    """Names in order of the class indices, 1 to 254."""
    raw_to_class: tuple[tuple[int, int], ...]
    """Every known raw id, once, with its class index or `IGNORED`."""
    class_to_raw: tuple[int, ...]
    """The raw id to write for every class; it need not be among the known ones."""
    colours_rgb: tuple[tuple[int, int, int], ...]
    """A colour for every class, red green blue, 0 to 255."""
    things: tuple[str, ...] = ()
    """Names of the classes whose objects can be counted; the others are stuff."""
    ignored_raw: int = 0
    """The raw id to write for `IGNORED`."""
    unknown: Unknown = "error"
    """What a raw id is that `raw_to_class` does not list."""

    def __post_init__(self) -> None:
        """Check that the parts fit together."""
        problem = next((text for text, is_wrong in _problems(self) if is_wrong), None)
        if problem:
            raise ValueError(f"LabelTable {self.name!r}: {problem}")

    @property
    def lookup(self) -> UInt8[np.ndarray, " 65536"]:
        """Class of every raw id, read-only; 254 where the table does not know it."""
        return _lookup(self)

    def class_indices(
        self, raw: UInt32[np.ndarray, " n"], *, where: str = "labels"
    ) -> UInt8[np.ndarray, " n"]:
        """Return the class of every label; the upper 16 bits (instance) do not matter.

        Args:
            raw: Labels as they stand in the file.
            where: Names the array or the file in the error.

        Raises:
            ValueError: Raw ids that the table does not know, unless it says what they are; names them and
                how many points have them.
        """
        found = _lookup(self)[raw & 0xFFFF]
        strange = found == _STRANGE
        if strange.any():
            raise ValueError(self.unknown_message(self.unknown_counts(raw), where))
        return found

    def unknown_counts(self, raw: UInt32[np.ndarray, " n"]) -> dict[int, int]:
        """Count the points of every raw id that the table does not list, whatever it makes of them."""
        ids, counts = np.unique(raw & 0xFFFF, return_counts=True)
        known = {raw_id for raw_id, _ in self.raw_to_class}
        pairs = zip(ids.tolist(), counts.tolist(), strict=True)
        return {raw_id: count for raw_id, count in pairs if raw_id not in known}

    def unknown_message(self, counts: dict[int, int], where: str) -> str:
        """Return what to say about raw ids that the table does not list."""
        shown = ", ".join(
            f"{raw_id} ({count} point{'s' * (count > 1)})" for raw_id, count in [*counts.items()][:_SHOWN]
        )
        rest = f" and {len(counts) - _SHOWN} more" if len(counts) > _SHOWN else ""
        return (
            f"{where}: raw ids that the label table {self.name!r} does not know: {shown}{rest}; label "
            "files hold raw ids, not class indices: add the ids to the table, or give it an `unknown` rule"
        )

    def raw_ids(self, classes: Integer[np.ndarray, " n"]) -> UInt32[np.ndarray, " n"]:
        """Return the raw ids to write for class indices and `IGNORED`, instance 0.

        Raises:
            ValueError: A number that is neither.
        """
        count = len(self.classes)
        wrong = (classes != IGNORED) & ((classes < 0) | (classes >= count))
        if wrong.any():
            raise ValueError(
                f"LabelTable {self.name!r}: expected class indices 0..{count - 1} or {IGNORED} (ignored), "
                f"got {int(classes[wrong][0])}; are these raw ids already?"
            )
        table = np.full(256, self.ignored_raw, np.uint32)
        table[:count] = self.class_to_raw
        return table[classes]

    def colours(self, classes: Integer[np.ndarray, " n"]) -> UInt8[np.ndarray, "n 3"]:
        """Return the colour of every point, red green blue; `IGNORED` is black. Errors as of `raw_ids`."""
        self.raw_ids(classes)
        table = np.zeros((256, 3), np.uint8)
        table[: len(self.classes)] = self.colours_rgb
        return table[classes]

    def index(self, name: str) -> int:
        """Return the index of a class.

        Raises:
            ValueError: No such class; names the nearest.
        """
        if name not in self.classes:
            raise ValueError(
                f"LabelTable {self.name!r} has no class {name!r}; {nearest_names(name, list(self.classes))}"
            )
        return self.classes.index(name)


def _problems(table: LabelTable) -> Iterable[tuple[str, bool]]:
    count = len(table.classes)
    ids = [raw for raw, _ in table.raw_to_class]
    indices = {*range(count), IGNORED}
    yield f"expected 1 to {MAX_CLASSES} classes, got {count}", not 1 <= count <= MAX_CLASSES
    twice = _repeated(table.classes)
    yield f"class {twice!r} is named twice", twice is not None
    again = _repeated(ids)
    yield f"raw id {again} is listed twice", again is not None
    outside = next((raw for raw in (*ids, *table.class_to_raw, table.ignored_raw) if not 0 <= raw < 65536), 0)
    yield f"raw ids lie in 0..65535, got {outside}", outside != 0
    wrong = next((f"raw id {raw} has class {at}" for raw, at in table.raw_to_class if at not in indices), "")
    yield f"{wrong}; expected 0..{count - 1} or {IGNORED}", bool(wrong)
    yield (
        f"expected one raw id to write for each of {count} classes, got {len(table.class_to_raw)}",
        len(table.class_to_raw) != count,
    )
    known = dict(table.raw_to_class)
    written = [*zip(table.class_to_raw, range(count), strict=False), (table.ignored_raw, IGNORED)]
    amiss = next((raw for raw, at in written if known.get(raw, at) != at), None)
    yield f"raw id {amiss} is written for one class and read as another", amiss is not None
    yield (
        f"expected one colour for each of {count} classes, got {len(table.colours_rgb)}",
        len(table.colours_rgb) != count,
    )
    pale = next((c for c in table.colours_rgb if len(c) != 3 or not all(0 <= v < 256 for v in c)), None)
    yield f"a colour is three numbers 0..255, got {pale}", pale is not None
    strangers = [name for name in table.things if name not in table.classes]
    yield f"things {', '.join(strangers)} are no classes", bool(strangers)
    yield (
        f"unknown must be 'error', 0..{count - 1} or {IGNORED}, got {table.unknown!r}",
        table.unknown != "error" and table.unknown not in indices,
    )


def _repeated(values: Iterable[int | str]) -> int | str | None:
    seen: set[int | str] = set()
    for value in values:
        if value in seen:
            return value
        seen.add(value)
    return None


@functools.cache
def _lookup(table: LabelTable) -> UInt8[np.ndarray, " 65536"]:
    found = np.full(1 << 16, _STRANGE if table.unknown == "error" else table.unknown, np.uint8)
    for raw, index in table.raw_to_class:
        found[raw] = index
    found.flags.writeable = False
    return found
