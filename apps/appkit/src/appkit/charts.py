"""Line charts as SVG text, ready to stand inside a page."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Axes:
    """Title and axis labels of a chart, with fixed ranges where the quantity has them."""

    title: str
    x: str
    y: str
    x_range: tuple[float, float] | None = None
    y_range: tuple[float, float] | None = None


def line_chart(lines: Mapping[str, tuple[Sequence[float], Sequence[float]]], axes: Axes) -> str:
    """Draw named lines, each (x values, y values), and return the SVG element."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 3.2), layout="constrained")
    plot = figure.subplots()
    for name, (x, y) in lines.items():
        plot.plot(x, y, label=name, linewidth=1.4)
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
    return text[text.index("<svg") :]


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
