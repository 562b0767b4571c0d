"""Small charts as SVG text, for a page that has to stand alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from itertools import pairwise

import numpy as np
from jaxtyping import Float64, Real

# Colours that stay apart for colour-blind readers, on white and on black (after Okabe and Ito). Six colours
# with four dashes make twelve pairs, neighbours differing in both.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_DASHES = ("", "7 3", "2 2", "9 3 2 3")

_WIDTH, _HEIGHT = 530, 330
_LEFT, _TOP, _RIGHT, _BOTTOM = 58, 10, 14, 44
_PLOT_WIDTH, _PLOT_HEIGHT = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
_CELL = 30
_LETTER = 7.0  # widest usual width of a letter of 12 px


def plain(text: str) -> str:
    """Return `text` for HTML and XML: markup escaped, characters that neither may hold replaced by U+FFFD."""
    sound = text.encode("utf-8", "replace").decode()
    return escape("".join(c if c.isprintable() or c in "\t\n" else "\ufffd" for c in sound))


def stroke(index: int) -> str:
    """Return the attributes that tell curve number `index` from the others."""
    dash = _DASHES[index % len(_DASHES)]
    colour = f'stroke="{_COLOURS[index % len(_COLOURS)]}"'
    return f'{colour} stroke-dasharray="{dash}"' if dash else colour


def line_chart(
    lines: Mapping[str, tuple[np.ndarray, np.ndarray]],
    *,
    labels: tuple[str, str],
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
) -> str:
    """Return an SVG element with the axes, labelled `labels`, and one path per curve.

    What is not finite leaves a gap; a point without neighbours is a dot. Curves end at the edge.
    """
    x_ticks = _ticks(x_range or _span([x for x, _ in lines.values()]))
    y_ticks = _ticks(y_range or _span([y for _, y in lines.values()]))
    x_low, x_high = x_range or (x_ticks[0], x_ticks[-1])
    y_low, y_high = y_range or (y_ticks[0], y_ticks[-1])
    middle = f'x="{_LEFT + _PLOT_WIDTH / 2:g}" y="{_HEIGHT - 6}" text-anchor="middle"'
    curves: list[str] = []
    for index, (name, (x, y)) in enumerate(lines.items()):
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows lies nowhere near the picture
            across = (np.asarray(x, np.float64) - x_low) / (x_high - x_low) * _PLOT_WIDTH
            down = (y_high - np.asarray(y, np.float64)) / (y_high - y_low) * _PLOT_HEIGHT
        curves.append(f"<g {stroke(index)}><title>{plain(name)}</title>{_path(across, down)}</g>")
    return "\n".join(
        [
            f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" role="img">',
            *_grid(x_ticks, (x_low, x_high), y_ticks, (y_low, y_high)),
            f"<text {middle}>{plain(labels[0])}</text>",
            f'<text transform="translate(10 {_TOP + _PLOT_HEIGHT / 2:g}) rotate(-90)" text-anchor="middle">'
            f"{plain(labels[1])}</text>",
            # An inner element cuts off at its edges what lies outside the ranges.
            f'<svg x="{_LEFT}" y="{_TOP}" width="{_PLOT_WIDTH}" height="{_PLOT_HEIGHT}" class="curves">',
            *curves,
            "</svg>",
            "</svg>",
        ]
    )


def heatmap(
    values: Real[np.ndarray, "rows columns"], row_names: Sequence[str], column_names: Sequence[str]
) -> str:
    """Return an SVG element with one square per value, shaded by its share of the row, shown in percent.

    The value itself is in the tooltip. What is not finite, and a row without sum, stays blank.
    """
    numbers = np.where(np.isfinite(values), values, 0).astype(np.float64)
    sums = numbers.sum(axis=1, keepdims=True)
    shares = np.divide(numbers, sums, out=np.zeros_like(numbers), where=sums > 0)
    left = 10 + _LETTER * max(map(len, row_names), default=0)
    # Column names rise at 45 degrees, the last one beyond the last square.
    top = 14 + 0.71 * _LETTER * max(map(len, column_names), default=0)
    width, height = left + _CELL * len(column_names) + top, top + _CELL * len(row_names) + 4
    parts = [f'<svg class="heat" viewBox="0 0 {width:g} {height:g}" width="{width:g}" role="img">']
    for column, name in enumerate(column_names):
        x = left + _CELL * (column + 0.6)
        parts.append(f'<text transform="translate({x:g} {top - 6:g}) rotate(-45)">{plain(name)}</text>')
    for row, name in enumerate(row_names):
        y = top + _CELL * row
        middle = f'y="{y + _CELL / 2 + 4:g}"'
        parts.append(f'<text x="{left - 6:g}" {middle} text-anchor="end">{plain(name)}</text>')
        for column, share in enumerate(shares[row].tolist()):
            tooltip = f"{name}, {column_names[column]}: {values[row, column]:.15g} ({100 * share:.2f} %)"
            x = left + _CELL * column
            square = f'x="{x:g}" y="{y:g}" width="{_CELL}" height="{_CELL}" fill-opacity="{0.8 * share:.3f}"'
            parts.append(f"<g><title>{plain(tooltip)}</title><rect {square}/>")
            if share >= 0.005:
                centre = f'x="{x + _CELL / 2:g}" {middle} text-anchor="middle"'
                parts.append(f"<text {centre}>{100 * share:.0f}</text>")
            parts.append("</g>")
    return "\n".join([*parts, "</svg>"])


def _span(series: Sequence[np.ndarray]) -> tuple[float, float]:
    """Return the range of the values that a picture can show, zero included."""
    shown = [values[np.abs(values) < 1e300] for values in map(np.asarray, series)]
    low = min((float(values.min()) for values in shown if values.size), default=0.0)
    high = max((float(values.max()) for values in shown if values.size), default=0.0)
    low, high = min(low, 0.0), max(high, 0.0)
    return (low, high) if high - low > 1e-300 else (0.0, 1.0)


def _ticks(span: tuple[float, float]) -> list[float]:
    """Return four to eight round numbers that enclose `span`."""
    low, high = span
    if not high > low:
        raise ValueError(f"the range of an axis must have an extent, got {span}")
    power = 10.0 ** math.floor(math.log10((high - low) / 4))
    step = power * max(factor for factor in (1, 2, 2.5, 5) if power * factor <= (high - low) / 4 * (1 + 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{index * step:.12g}") for index in range(first, last + 1)]


def _grid(
    x_ticks: Sequence[float],
    x_range: tuple[float, float],
    y_ticks: Sequence[float],
    y_range: tuple[float, float],
) -> Iterator[str]:
    """Yield the grid lines and tick labels that lie within the ranges."""
    bottom, right = _TOP + _PLOT_HEIGHT, _LEFT + _PLOT_WIDTH
    for tick in x_ticks:
        if x_range[0] <= tick <= x_range[1]:
            x = f"{_LEFT + (tick - x_range[0]) / (x_range[1] - x_range[0]) * _PLOT_WIDTH:.1f}"
            yield f'<line x1="{x}" y1="{_TOP}" x2="{x}" y2="{bottom}"/>'
            yield f'<text x="{x}" y="{bottom + 15}" text-anchor="middle">{tick:.12g}</text>'
    for tick in y_ticks:
        if y_range[0] <= tick <= y_range[1]:
            y = _TOP + (y_range[1] - tick) / (y_range[1] - y_range[0]) * _PLOT_HEIGHT
            yield f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}"/>'
            yield f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:.12g}</text>'


def _path(across: Float64[np.ndarray, " n"], down: Float64[np.ndarray, " n"]) -> str:
    """Return one path, in pixels, with a gap wherever a coordinate is not finite."""
    known = np.isfinite(across) & np.isfinite(down)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], known, [False]])))
    pieces: list[str] = []
    dots: list[str] = []
    for start, stop in edges.reshape(-1, 2).tolist():
        chosen = start + _visible(across[start:stop], down[start:stop])
        points = [f"{x:.1f} {y:.1f}" for x, y in zip(across[chosen], down[chosen], strict=True)]
        if stop - start == 1:
            x, y = points[0].split()
            dots.append(f'<circle cx="{x}" cy="{y}" r="3"/>')
        else:
            pieces.append("M" + "L".join(points))
    return (f'<path d="{"".join(pieces)}"/>' if pieces else "") + "".join(dots)


def _visible(across: Float64[np.ndarray, " n"], down: Float64[np.ndarray, " n"]) -> np.ndarray:
    """Return which points have to be drawn: of each run in one column of pixels the ends and extremes."""
    # Far outside the picture one column is as good as another; without the limits the cast would overflow.
    columns = np.floor(across.clip(-1e6, 1e6)).astype(np.int64)
    edges = [0, *(np.flatnonzero(np.diff(columns)) + 1).tolist(), len(columns)]
    chosen: set[int] = set()
    for start, stop in pairwise(edges):
        run = down[start:stop]
        chosen |= {start, stop - 1, start + int(run.argmin()), start + int(run.argmax())}
    return np.array(sorted(chosen))
