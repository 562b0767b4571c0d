"""What the printed forms of all results share: aligned tables, cells, notes, and charts over recall."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from evaluators.page import LineChart, Table


def text(head: Sequence[str], *tables: Table, notes: Sequence[str]) -> str:
    """Return a report as text: the head, the tables with their titles left out, and the notes."""
    lines = list(head)
    for table in tables:
        lines += ["", *aligned(table)]
    return "\n".join(lines + [f"Note: {note}" for note in notes])


def aligned(table: Table) -> list[str]:
    """Return header and rows as lines, the first column to the left and the others to the right.

    Example:
        >>> for line in aligned(Table(title="", header=["class", "AP"], rows=[["Car", "0.5"]])):
        ...     print(line)
        class   AP
        Car    0.5
    """
    rows = [table.header, *table.rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows
    ]


def cell(value: float | None, digits: int = 4) -> str:
    """Return a figure for a table, "-" for none and for what is not a number."""
    return "-" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def set_aside(n_missing: int, n_dropped_gt: int, n_dropped_pred: int) -> list[str]:
    """Return the notes about frames without predictions and about invalid rows."""
    found: list[str] = []
    if n_missing:
        found.append(f"{n_missing} frames had no predictions and were taken as empty.")
    if n_dropped_gt or n_dropped_pred:
        found.append(
            f"{n_dropped_gt} invalid ground truth rows and {n_dropped_pred} invalid predictions were dropped."
        )
    return found


def recall_chart(
    title: str, lines: Mapping[str, tuple[np.ndarray, np.ndarray]], *, y_label: str = "precision"
) -> LineChart:
    """Return a chart of shares over recall, both axes from 0 to 1."""
    unit = (0.0, 1.0)
    return LineChart(title=title, x_label="recall", y_label=y_label, lines=lines, x_range=unit, y_range=unit)
