"""One self-contained HTML page about a result: tables, curves and matrices, no outside file, no script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np

from evaluators._report import JsonValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of text; numbers come formatted."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LineChart:
    """Curves over one pair of axes that start at zero unless a range is given."""

    title: str
    x_label: str
    y_label: str
    lines: Mapping[str, tuple[np.ndarray, np.ndarray]]
    """x and y of every curve by name, equally long; at most twelve curves can be told apart."""
    x_range: tuple[float, float] | None = None
    y_range: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Heatmap:
    """A matrix with named rows and columns, such as a confusion matrix; every row is shaded by its share."""

    title: str
    row_label: str
    column_label: str
    row_names: Sequence[str]
    column_names: Sequence[str]
    values: np.ndarray


Section: TypeAlias = Table | LineChart | Heatmap


@runtime_checkable
class Result(Protocol):
    """What the results of all protocols have in common."""

    def table(self) -> str:
        """Return the figures as text, notes included."""
        ...

    def notes(self) -> list[str]:
        """Return what a reader must know before believing the figures, one sentence each."""
        ...

    def to_json(self) -> dict[str, JsonValue]:
        """Return everything as built-in types that `json.dumps` takes; what is not a number is None."""
        ...

    def sections(self) -> list[Section]:
        """Return the figures as tables and charts for a page."""
        ...
