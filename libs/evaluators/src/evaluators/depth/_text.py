"""The printed forms of a result."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from evaluators._text import aligned, cell
from evaluators.depth.protocol import Aggregate, cap_name, metric
from evaluators.page import LineChart, Section, Table

if TYPE_CHECKING:
    from evaluators.depth.result import DepthResult

_AGGREGATES: tuple[tuple[Aggregate, str], ...] = (("image", "images"), ("pixel", "pixels"))


def table(result: DepthResult) -> str:
    """Return the result as text: one line per figure, one column per cap and aggregate."""
    counts = result.counts
    lines = [
        f"Depth, {result.protocol.name}: {counts.n_frames} frames. Units of the KITTI leaderboard;"
        " a cap is the largest true depth that counts;",
        "images: mean over images (what the public tools print), pixels: all pixels of all images pooled.",
        "",
    ]
    for part in sections(result):
        if isinstance(part, Table):
            lines += [part.title, *aligned(part), ""]
    return "\n".join(lines[:-1] + [f"Note: {note}" for note in notes(result)])


def sections(result: DepthResult) -> list[Section]:
    """Return the figures, the range table and the stripes as tables, and the errors over range as a chart."""
    return [_figures(result), _ranges(result), _range_chart(result), _stripes(result)]


def _figures(result: DepthResult) -> Table:
    header = ["figure"]
    for cap in result.caps_m:
        header += [f"{cap_name(cap)} {label}" for _, label in _AGGREGATES]
    rows = [["counted pixels", *(str(n) for n in result.counts.n_pixels for _ in _AGGREGATES)]]
    for name in result.protocol.metrics:
        item = metric(name)
        row = [item.leaderboard]
        for cap in result.caps_m:
            for aggregate, _ in _AGGREGATES:
                value = result.value(name, cap_m=cap, aggregate=aggregate)
                row.append(cell(value * item.leaderboard_scale))
        rows.append(row)
    return Table(title="Errors", header=header, rows=rows)


def _ranges(result: DepthResult) -> Table:
    return Table(
        title="Errors by true depth, all pixels",
        header=["true depth m", "pixels", "MAE m", "RMSE m", "bias m", "absRel %"],
        rows=[
            [
                f"{item.from_m:g} to {item.to_m:g}",
                str(item.n_pixels),
                *map(cell, (item.mae_m, item.rmse_m, item.bias_m, 100.0 * item.abs_rel)),
            ]
            for item in result.ranges
        ],
    )


def _range_chart(result: DepthResult) -> LineChart:
    filled = [item for item in result.ranges if item.n_pixels and item.to_m < math.inf]
    centres = np.array([(item.from_m + item.to_m) / 2 for item in filled])
    return LineChart(
        title="Errors by true depth",
        x_label="true depth, m",
        y_label="error, m",
        lines={
            "MAE": (centres, np.array([item.mae_m for item in filled])),
            "RMSE": (centres, np.array([item.rmse_m for item in filled])),
        },
    )


def _stripes(result: DepthResult) -> Table:
    return Table(
        title="Stripes, share of depth",
        header=["measure", "mean over images", "images"],
        rows=[
            [name, cell(100.0 * value), str(int(np.count_nonzero(~np.isnan(column))))]
            for name, value, column in (
                ("row ripple %", result.row_ripple, result.stripes_per_image[:, 0]),
                ("beam contrast %", result.beam_contrast, result.stripes_per_image[:, 1]),
            )
        ],
    )


def notes(result: DepthResult) -> list[str]:
    """Return the warnings of a result, most important first."""
    counts = result.counts
    found: list[str] = []
    for cap, empty in zip(result.caps_m, counts.n_empty, strict=True):
        if empty == counts.n_frames:
            found.append(f"{cap_name(cap)}: no pixel has true depth; nothing was evaluated.")
        elif empty:
            found.append(
                f"{cap_name(cap)}: {empty} of {counts.n_frames} frames have no true depth and were left"
                " out of the mean over images."
            )
    worst = max(counts.n_nonpositive)
    if worst:
        undefined = (
            "; inverse or log errors are therefore undefined" if result.protocol.needs_positive else ""
        )
        found.append(f"{worst} counted pixels have a prediction of zero or less{undefined}.")
    if counts.n_filled:
        found.append(f"{counts.n_filled} counted pixels had no prediction and were filled by KITTI's rule.")
    if counts.n_dropped:
        found.append(f"{counts.n_dropped} pixels with an invalid number were left out.")
    return found
