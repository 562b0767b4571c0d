"""Line charts as SVG text, ready to stand inside a page."""

from __future__ import annotations

import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
"""Of the lines, in order: those of Okabe and Ito, which the colour-blind tell apart."""
DASHES = ("-", "--", "-.", ":")
"""Lines differ in dashes too, so that colour is not needed."""


@dataclass(frozen=True, slots=True)
class Axes:
    """Title and axis labels of a chart, with fixed ranges where the quantity has them."""

    title: str
    x: str
    y: str
    x_range: tuple[float, float] | None = None
    y_range: tuple[float, float] | None = None


def line_chart(lines: Mapping[str, tuple[Sequence[float], Sequence[float]]], axes: Axes) -> str:
    """Draw named lines, each (x values, y values), and return the SVG element, with its name for readers."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 3.2), layout="constrained")
    plot = figure.subplots()
    for i, (name, (x, y)) in enumerate(lines.items()):
        style = DASHES[i % len(DASHES)]
        plot.plot(x, y, label=name, linewidth=1.4, color=COLOURS[i % len(COLOURS)], linestyle=style)
    plot.set_title(axes.title, fontsize=10)
    plot.set_xlabel(axes.x, fontsize=9)
    plot.set_ylabel(axes.y, fontsize=9)
    plot.tick_params(labelsize=8)
    plot.grid(visible=True, alpha=0.3)
    if axes.x_range:
        plot.set_xlim(*axes.x_range)
    if axes.y_range:
        plot.set_ylim(*axes.y_range)
    if len(lines) > 1:
        plot.legend(fontsize=7)
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg")
    text = buffer.getvalue()
    name = html.escape(f"{axes.title}: {axes.y} over {axes.x} for {', '.join(lines) or 'nothing'}")
    return f'<svg role="img" aria-label="{name}"' + text[text.index("<svg") + len("<svg") :]


def smooth(values: Sequence[float], *, window: int) -> list[float]:
    """Return the running mean over the last `window` values (fewer at the start).

    Example:
        >>> smooth([1.0, 3.0, 5.0], window=2)
        [1.0, 2.0, 4.0]
    """
    result = []
    for index in range(len(values)):
        part = values[max(0, index + 1 - window) : index + 1]
        result.append(sum(part) / len(part))
    return result
