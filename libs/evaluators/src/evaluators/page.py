"""Self-contained HTML pages about results: tables, curves and matrices, no outside file, no script.

`write_page` writes a page of results alone. For a page that holds more, put `render_result` and
`render_section` between pieces of your own into `document`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np

from evaluators._report import JsonValue, write_text
from evaluators._svg import heatmap, line_chart, plain, stroke

__all__ = [
    "Heatmap",
    "LineChart",
    "Result",
    "Section",
    "Table",
    "document",
    "render_result",
    "render_section",
    "write_page",
]


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


_NUMBER = re.compile(r"\s*(?:[-+]?\d[\d,]*\.?\d*(?:[eE][-+]?\d+)?\s*%?|[-+]?(?:nan|inf)|[-\u2013\u2014]?)\s*")
_STYLE = """
:root { color-scheme: light dark; --ink: #1b1b1b; --paper: #fff; --faint: #d9d9d9; --note: #fff6e0; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e6e6; --paper: #161616; --faint: #3a3a3a; --note: #33290f; }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
figure { display: inline-block; vertical-align: top; margin: 0 1.5rem 1.5rem 0;
  max-width: 100%; overflow-x: auto; }
figcaption { font-weight: 600; margin-bottom: .3rem; }
figcaption small { display: block; font-weight: normal; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .15rem .7rem; border-bottom: 1px solid var(--faint); text-align: left; }
tbody th { font-weight: normal; }
.num { text-align: right; }
.notes { background: var(--note); padding: .6rem 1rem .6rem 2rem; border-left: 4px solid #e69f00; }
.legend { list-style: none; margin: 0; padding: 0; max-width: 33rem; font-size: 13px; }
.legend li { display: inline-block; margin-right: 1rem; }
.legend svg { vertical-align: middle; margin-right: .3rem; }
svg { font: 12px system-ui, sans-serif; max-width: 100%; height: auto; }
svg text { fill: var(--ink); }
.heat { max-width: none; }
.chart line { stroke: var(--faint); }
.curves, .legend svg { fill: none; stroke-width: 2; }
.curves circle { stroke-width: 3; stroke-dasharray: none; }
.heat rect { fill: #0072b2; stroke: var(--faint); }
"""


def write_page(path: str | Path, title: str, results: Mapping[str, Result]) -> None:
    """Write one HTML page about `results`, by name; the old file stays until the new one is complete.

    The page needs no other file and runs no script. It follows the light or dark scheme of the reader; curves
    differ in colour and dashes, with colours that colour-blind readers can tell apart. Notes come first.

    Raises:
        FileNotFoundError: The folder of `path` does not exist.
        ValueError: A table has a row of another length than its header, or a heatmap names that do not fit.
    """
    parts: list[str] = []
    for name, result in results.items():
        if len(results) > 1:
            parts.append(f"<h2>{plain(name)}</h2>")
        parts.append(render_result(result))
    write_text(path, document(title, "\n".join(parts)))


def document(title: str, body: str, *, style: str = "") -> str:
    """Return a whole page that shows `title` above `body`.

    Args:
        title: Text; markup in it is escaped.
        body: HTML, also well-formed as XML if the page is to be.
        style: Rules of your own, after those of tables and charts.

    Example:
        >>> document("Run 7", "<p>fine</p>").splitlines()[-2]
        '<p>fine</p>'
    """
    head = f'<head><meta charset="utf-8"/><title>{plain(title)}</title>'
    view = f'<meta name="viewport" content="width=device-width"/><style>{_STYLE}{style}</style></head>'
    heading = f"<body><h1>{plain(title)}</h1>"
    return "\n".join(["<!DOCTYPE html>", '<html lang="en">', head, view, heading, body, "</body></html>\n"])


def render_result(result: Result) -> str:
    """Return the notes of a result, then its tables and charts, as HTML.

    Raises:
        ValueError: See `render_section`.
    """
    notes = "".join(f"<li>{plain(note)}</li>" for note in result.notes())
    parts = [f'<ul class="notes">{notes}</ul>'] if notes else []
    return "\n".join(parts + [render_section(section) for section in result.sections()])


def render_section(section: Section) -> str:
    """Return a table or chart as an HTML figure with its title.

    Raises:
        ValueError: A table has a row of another length than its header, or a heatmap names that do not fit.

    Example:
        >>> html = render_section(Table(title="Errors", header=["cap", "MAE m"], rows=[["80 m", "1.93"]]))
        >>> html.startswith("<figure><figcaption>Errors</figcaption>")
        True
    """
    if isinstance(section, Table):
        return _figure(section.title, _table(section))
    if isinstance(section, LineChart):
        chart = line_chart(
            section.lines,
            labels=(section.x_label, section.y_label),
            x_range=section.x_range,
            y_range=section.y_range,
        )
        return _figure(section.title, chart + _legend(list(section.lines)))
    expected = (len(section.row_names), len(section.column_names))
    if section.values.shape != expected:
        raise ValueError(
            f"the heatmap {section.title!r} has values of shape {section.values.shape} for {expected[0]} row"
            f" names and {expected[1]} column names"
        )
    meaning = f"rows: {section.row_label}, columns: {section.column_label}; percent of the row"
    return _figure(section.title, heatmap(section.values, section.row_names, section.column_names), meaning)


def _figure(title: str, body: str, remark: str = "") -> str:
    small = f"<small>{plain(remark)}</small>" if remark else ""
    return f"<figure><figcaption>{plain(title)}{small}</figcaption>\n{body}</figure>"


def _table(table: Table) -> str:
    width = len(table.header)
    for row in table.rows:
        if len(row) != width:
            raise ValueError(f"the table {table.title!r} has a row of {len(row)} cells for {width} columns")
    numeric = [
        all(_NUMBER.fullmatch(row[column]) for row in table.rows) for column in range(len(table.header))
    ]
    kinds = [' class="num"' if is_number else "" for is_number in numeric]
    header = "".join(
        f'<th scope="col"{kind}>{plain(cell)}</th>' for cell, kind in zip(table.header, kinds, strict=True)
    )
    rows = [
        "<tr>"
        + "".join(
            f'<th scope="row"{kind}>{plain(cell)}</th>' if not column else f"<td{kind}>{plain(cell)}</td>"
            for column, (cell, kind) in enumerate(zip(row, kinds, strict=True))
        )
        + "</tr>"
        for row in table.rows
    ]
    lines = "\n".join(rows)
    return f"<table><thead><tr>{header}</tr></thead>\n<tbody>{lines}</tbody></table>"


def _legend(names: Sequence[str]) -> str:
    swatch = '<svg width="28" height="8" viewBox="0 0 28 8"><path d="M0 4L28 4" {}/></svg>'
    entries = [f"<li>{swatch.format(stroke(index))}{plain(name)}</li>" for index, name in enumerate(names)]
    return f'<ul class="legend">{"".join(entries)}</ul>'
