"""The training curves of a run, from its log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from fusion3d_appkit import report
from fusion3d_appkit.charts import Axes, line_chart, smooth
from fusion3d_appkit.loggers import read_metrics
from fusion3d_appkit.report import Section


def loss_section(metrics_file: Path) -> Section:
    """Return the loss curves of the run (`train/...` in its log), the total and its parts."""
    if not metrics_file.is_file():
        return Section("Training", report.note("This run folder holds no training log."))
    series = read_metrics(metrics_file)
    losses = {
        name.removeprefix("train/"): points for name, points in series.items() if name.startswith("train/")
    }
    rate = losses.pop("lr", [])
    total = {name: points for name, points in losses.items() if name == "loss"}
    parts = {name: points for name, points in losses.items() if name != "loss"}
    charts = [
        line_chart(_lines(total), Axes("Training loss", "step", "loss")),
        line_chart(_lines(parts), Axes("Parts of the loss", "step", "loss")),
        line_chart(_lines({"learning rate": rate}), Axes("Learning rate", "step", "rate")),
    ]
    return Section("Training", report.row(*charts))


def _lines(series: Mapping[str, Sequence[tuple[int, float]]]) -> dict[str, tuple[list[float], list[float]]]:
    lines = {}
    for name, points in series.items():
        if points:
            steps, values = zip(*points, strict=True)
            window = max(1, len(values) // 40)
            lines[name] = ([float(step) for step in steps], smooth(values, window=window))
    return lines
