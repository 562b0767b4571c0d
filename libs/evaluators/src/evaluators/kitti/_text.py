"""The printed forms of a result."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evaluators._text import cell, recall_chart, set_aside
from evaluators.kitti.protocol import KITTI_DEVKIT, METRICS, RECALL_POSITIONS, ClassRule, Metric
from evaluators.page import Section, Table

if TYPE_CHECKING:
    from evaluators.kitti.result import KittiResult, Recall

_ENOUGH_GT = 41


def table(result: KittiResult) -> str:
    """Return the result as text: one line per class and metric, one column per level and recall."""
    levels = [level.name for level in result.difficulties]
    width = max(9, *(len(name) + 1 for name in levels))
    counts = result.counts
    head = (
        f"KITTI objects, {result.protocol.name}, {result.overlaps.name} overlaps: {counts.n_frames} frames,"
        f" {counts.n_gt} objects, {counts.n_pred} predictions. Average precision in percent."
    )
    group = width * len(levels)
    names = "".join(f"{name:>{width}}" for name in levels)
    lines = [
        head,
        "",
        f"{'':28}{'R40 (40 recall positions)':>{group}}  {'R11 (11 recall positions)':>{group}}",
        f"{'class':15}{'metric':>6}{'IoU >':>7}{names}  {names}  {'objects':>{width}}",
    ]
    for rule in result.overlaps.classes:
        lines += [_row(result, rule, metric, width) for metric in METRICS]
    return "\n".join(lines + [f"Note: {note}" for note in notes(result)])


def _row(result: KittiResult, rule: ClassRule, metric: Metric, width: int) -> str:
    def cells(recall: Recall) -> str:
        values = [_ap(result, rule, metric, level.name, recall) for level in result.difficulties]
        return "".join(f"{cell(value):>{width}}" for value in values)

    objects = [result.curves[rule.name, "2d", level.name].n_gt for level in result.difficulties]
    counted = "/".join(map(str, objects))
    overlap = rule.min_overlap(metric)
    return f"{rule.name:15}{metric:>6}{overlap:>7.2f}{cells(40)}  {cells(11)}  {counted:>{width}}"


def sections(result: KittiResult) -> list[Section]:
    """Return a table per number of recall positions, the counts, and the curves of what was evaluated."""
    levels = [level.name for level in result.difficulties]
    counts = result.counts
    counted = [
        ("frames", counts.n_frames),
        ("objects", counts.n_gt),
        ("DontCare regions", counts.n_dont_care),
        ("predictions", counts.n_pred),
        ("frames without predictions", counts.n_missing),
        ("invalid rows dropped", counts.n_dropped_gt + counts.n_dropped_pred),
    ]
    recalls = np.arange(RECALL_POSITIONS) / (RECALL_POSITIONS - 1)
    charts: list[Section] = []
    for rule in result.overlaps.classes:
        for metric in METRICS:
            lines = {
                level: (recalls, curve.curve)
                for level in levels
                if (curve := result.curves.get((rule.name, metric, level))) is not None and curve.measured
            }
            if lines:
                title = f"{rule.name} {metric}, IoU > {rule.min_overlap(metric):g}"
                label = "orientation similarity" if metric == "aos" else "precision"
                charts.append(recall_chart(title, lines, y_label=label))
    tables = [_ap_table(result, recall, levels) for recall in (40, 11)]
    rows = [[name, str(number)] for name, number in counted]
    return [*tables, Table(title="Counts", header=("what", "number"), rows=rows), *charts]


def _ap_table(result: KittiResult, recall: Recall, levels: list[str]) -> Table:
    rows = [
        [
            *(rule.name, metric, f"{rule.min_overlap(metric):g}"),
            *(cell(_ap(result, rule, metric, level, recall)) for level in levels),
        ]
        for rule in result.overlaps.classes
        for metric in METRICS
    ]
    title = f"R{recall}: average precision in percent over {recall} recall positions"
    return Table(title=title, header=("class", "metric", "IoU >", *levels), rows=rows)


def _ap(result: KittiResult, rule: ClassRule, metric: Metric, level: str, recall: Recall) -> float | None:
    """Return an average precision, None where there was nothing to score, which must not look like zero."""
    curve = result.curves.get((rule.name, metric, level))
    return curve.ap(recall) if curve is not None and curve.measured else None


def notes(result: KittiResult) -> list[str]:
    """Return the warnings of a result, most important first."""
    counts = result.counts
    found: list[str] = []
    if result.protocol != KITTI_DEVKIT:
        found.append(
            f"scored by the rules of {result.protocol.tool}, not by those of the official kit (except that"
            " overlaps are exact)."
        )
    found += set_aside(counts.n_missing, counts.n_dropped_gt, counts.n_dropped_pred)
    missing = [
        f"{rule.name} {metric}"
        for rule in result.overlaps.classes
        for metric in METRICS
        if (curve := result.curves.get((rule.name, metric, result.difficulties[0].name))) is not None
        and not curve.evaluated
    ]
    if missing:
        found.append(f"not evaluated, because nothing was detected: {', '.join(missing)}.")
    found += _nothing_to_score(result)
    if not any(metric == "aos" for _, metric, _ in result.curves):
        found.append("aos is not evaluated: it was not asked for, or alphas are -10 (not given).")
    few = [
        f"{rule.name} {level.name} ({n_gt})"
        for rule in result.overlaps.classes
        for level in result.difficulties
        if 0 < (n_gt := result.curves[rule.name, "2d", level.name].n_gt) < _ENOUGH_GT
    ]
    if few:
        found.append(
            f"fewer than {_ENOUGH_GT} objects, so that not even a perfect detector reaches 100:"
            f" {', '.join(few)}."
        )
    if counts.n_tied_scores:
        found.append(
            f"{counts.n_tied_scores} predictions share their score with another one of their frame;"
            " the earlier line goes first."
        )
    return found


def _nothing_to_score(result: KittiResult) -> list[str]:
    """Return why figures may be 0 or absent without any fault of the detector."""
    found = [
        f"{what} hold no {rows}."
        for what, rows, number in (
            ("the labels", "objects", result.counts.n_gt),
            ("the result files", "detections", result.counts.n_pred),
        )
        if not number
    ]
    known = ", ".join(result.overlaps.class_names)
    found += [
        f"{what} of these names count nowhere, because the table has {known}: {named}."
        for what, strange in (("objects", result.strange_gt), ("detections", result.strange_pred))
        if (named := ", ".join(f"{name} ({number})" for name, number in strange.items()))
    ]
    absent: list[str] = []
    ignored: list[str] = []
    low: list[str] = []
    for rule in result.overlaps.classes:
        curves = {level.name: result.curves[rule.name, "2d", level.name] for level in result.difficulties}
        if not any(curve.n_gt for curve in curves.values()):
            number = max(curve.n_gt_ignored for curve in curves.values())
            (ignored if number else absent).append(f"{rule.name} ({number} ignored)" if number else rule.name)
        if all(curve.evaluated and not curve.n_pred for curve in curves.values()):
            low.append(f"{rule.name} ({max(curve.n_class_pred for curve in curves.values())})")
    if absent and result.counts.n_gt:
        found.append(f"no objects: {', '.join(absent)}.")
    if ignored:
        found.append(
            "no object fits any level, by height of the image box, occlusion, truncation or because it is a"
            f" neighbour class: {', '.join(ignored)}."
        )
    if low:
        found.append(
            "all detections are ignored at every level, because their image boxes are too low (one of 0 0 0 0"
            f" is 0 px high): {', '.join(low)}."
        )
    return found


def explain(result: KittiResult, cls: str, metric: Metric, level: str) -> str:
    """Return the recall positions of one figure as text."""
    curve = result.curves[cls, metric, level]
    lines = [
        f"{cls} {metric} {level}: {curve.n_gt} objects count, {curve.n_gt_ignored} are ignored;"
        f" {curve.n_pred} predictions count, {curve.n_pred_ignored} are ignored.",
        "A threshold is the score at which recall comes closest to the position; all detections at or",
        "above it are matched again. The last column is the best value at that recall or beyond; its mean",
        f"over positions 1 to 40 is R40 = {curve.ap(40):.4f}, over 0, 4, ... 40 is R11 = {curve.ap(11):.4f}.",
        f"{'position':>8}{'threshold':>12}{'tp':>8}{'fp':>8}{'fn':>8}{'value':>9}",
    ]
    for position, value in enumerate(curve.curve):
        if position < len(curve.thresholds):
            counted = f"{curve.thresholds[position]:>12.6g}" + "".join(
                f"{column[position]:>8}" for column in (curve.tp, curve.fp, curve.fn)
            )
        else:
            counted = f"{'not reached':>12}{'-':>8}{'-':>8}{'-':>8}"
        lines.append(f"{position:>8}{counted}{value:>9.4f}")
    return "\n".join(lines)
