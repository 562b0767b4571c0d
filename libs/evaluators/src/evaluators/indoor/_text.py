"""The printed forms of a result."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evaluators._text import cell, recall_chart, set_aside, text
from evaluators.page import Section, Table

if TYPE_CHECKING:
    from evaluators.indoor.result import IndoorResult

_LINES_A_CHART = 9
_POINTS_A_LINE = 200


def table(result: IndoorResult) -> str:
    """Return the result as text: one line per class and mean, AP and recall per threshold."""
    counts = result.counts
    head = (
        f"Indoor detection, {result.classes.name}, {result.protocol} overlaps: {counts.n_frames} frames,"
        f" {counts.n_gt} objects, {counts.n_pred} predictions. Shares from 0 to 1."
    )
    return text([head], _figures(result), notes=notes(result))


def notes(result: IndoorResult) -> list[str]:
    """Return the warnings of a result, most important first."""
    counts = result.counts
    found: list[str] = []
    if result.protocol == "votenet":
        found.append("overlaps are VoteNet's, which are wrong where edges of boxes coincide.")
    found += set_aside(counts.n_missing, counts.n_dropped_gt, counts.n_dropped_pred)
    firsts = {name: result.curves[name, result.thresholds[0]] for name in result.classes.classes}
    unfounded = [
        f"{name} ({curve.n_pred})" for name, curve in firsts.items() if curve.n_pred and not curve.n_gt
    ]
    if unfounded:
        effect = {
            "gt": "they enter no mean",
            "listed": "they enter the means as 0",
            "reference": "they make the mean NaN, as in the reference tools",
        }[result.mean_over]
        found.append(f"predicted, but without any ground truth: {', '.join(unfounded)}; {effect}.")
    absent = [name for name, curve in firsts.items() if not curve.n_pred and not curve.n_gt]
    if absent:
        effect = "enter the means as 0" if result.mean_over == "listed" else "enter no mean"
        found.append(f"neither in the ground truth nor predicted: {', '.join(absent)}; they {effect}.")
    if counts.n_tied_scores:
        found.append(
            f"{counts.n_tied_scores} predictions share their score with another one of their class; the frame"
            " that comes first by name goes first, then the earlier row."
        )
    return found


def sections(result: IndoorResult) -> list[Section]:
    """Return the table and, per threshold, the precision-recall curves of the classes with ground truth."""
    found: list[Section] = [_figures(result)]
    for threshold in result.thresholds:
        names = [name for name in result.classes.classes if result.curves[name, threshold].evaluated]
        for start in range(0, len(names), _LINES_A_CHART):
            chosen = names[start : start + _LINES_A_CHART]
            title = f"Precision by recall, IoU > {threshold:g}, {chosen[0]} to {chosen[-1]}"
            lines = {name: _line(result, name, threshold) for name in chosen}
            found.append(recall_chart(title, lines, y_label="precision at this recall or beyond"))
    return found


def _figures(result: IndoorResult) -> Table:
    figures = [f"{name}_{threshold:g}" for threshold in result.thresholds for name in ("AP", "recall")]
    return Table(
        title=f"Average precision (AP) and recall, {result.classes.name}",
        header=["class", *figures, "objects", "predicted"],
        rows=[*_class_rows(result), *_mean_rows(result)],
    )


def _class_rows(result: IndoorResult) -> list[list[str]]:
    rows: list[list[str]] = []
    for name in result.classes.classes:
        curves = [result.curves[name, threshold] for threshold in result.thresholds]
        figures = [figure for curve in curves for figure in (curve.ap(), curve.final_recall())]
        rows.append([name, *map(cell, figures), str(curves[0].n_gt), str(curves[0].n_pred)])
    return rows


def _mean_rows(result: IndoorResult) -> list[list[str]]:
    rows: list[list[str]] = []
    for subset in (None, *(item.name for item in result.classes.subsets)):
        figures = [
            figure(threshold, subset=subset)
            for threshold in result.thresholds
            for figure in (result.mean_ap, result.mean_recall)
        ]
        rows.append(["mean" if subset is None else f"mean_{subset}", *map(cell, figures), "", ""])
    return rows


def _line(result: IndoorResult, name: str, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Return recall and envelope of one class, at most some hundred points, from recall 0 to its end."""
    curve = result.curves[name, threshold]
    hits = curve.hits
    if not len(hits):
        return np.zeros(2), np.zeros(2)
    shown = hits[np.unique(np.linspace(0, len(hits) - 1, _POINTS_A_LINE).astype(np.int64))]
    recall, precision = curve.recall[shown], curve.envelope[shown]
    # The envelope starts at recall 0 and drops to 0 where recall ends.
    return np.r_[0.0, recall, recall[-1]], np.r_[precision[0], precision, 0.0]
