"""The training curves of a run, from its log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from evaluators.page import LineChart

from fusion3d_appkit.loggers import read_metrics

Series = Mapping[str, Sequence[tuple[int, float]]]


def loss_charts(metrics_file: Path) -> list[LineChart]:
    """Return the charts of the losses of a run (`train/...` in its log), total and parts, and of its rate.

    Returns:
        Nothing without a log. Curves of many steps are smoothed.
    """
    series = read_metrics(metrics_file) if metrics_file.is_file() else {}
    found = {
        name.removeprefix("train/"): points
        for name, points in series.items()
        if points and name.startswith("train/")
    }
    rate = {"learning rate": found.pop("lr", [])}
    total = {name: found.pop(name) for name in ("loss",) if name in found}
    charts = {"Training loss": total, "Parts of the loss": found, "Learning rate": rate}
    return [_chart(title, lines) for title, lines in charts.items() if any(lines.values())]


def _chart(title: str, series: Series) -> LineChart:
    lines = {}
    for name, points in series.items():
        steps, values = zip(*points, strict=True)
        lines[name] = (np.array(steps), np.array(smooth(values, window=max(1, len(values) // 40))))
    return LineChart(title=title, x_label="step", y_label=title.lower(), lines=lines)


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
