"""The printed forms of a result."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from evaluators._text import text
from evaluators.page import Heatmap, Section, Table
from evaluators.panoptic.protocol import Figure, Group

if TYPE_CHECKING:
    from evaluators.panoptic.result import PanopticResult

_HEADER = ("class", "kind", "PQ", "SQ", "RQ", "IoU", "tp", "fp", "fn", "small gt", "small pred")


def table(result: PanopticResult) -> str:
    """Return the result as text: means, then one line per class."""
    counts = result.counts
    head = (
        f"Panoptic segmentation, {result.protocol.name}: {counts.n_frames} frames, {counts.n_points} points."
        f" Percent. Unmatched segments under {result.protocol.min_points} points are no error."
    )
    figures = Table(title="", header=_HEADER, rows=[*_mean_rows(result), *_class_rows(result)])
    return text([head, "", f"PQ dagger {100 * result.pq_dagger:.4f}"], figures, notes=notes(result))


def _mean_rows(result: PanopticResult) -> list[tuple[str, ...]]:
    scores = result.scores()
    both = [scores["pq_mean"], scores["sq_mean"], scores["rq_mean"], scores["iou_mean"]]
    rows = [("mean", "", *(f"{100 * value:.4f}" for value in both), *[""] * 5)]
    groups: tuple[Group, ...] = ("things", "stuff")
    for group in groups:
        values = [result.mean(figure, group) for figure in get_args(Figure)]
        rows.append((group, "", *(f"{100 * value:.4f}" for value in values), *[""] * 5))
    return rows


def _class_rows(result: PanopticResult) -> list[tuple[str, ...]]:
    label_map = result.protocol.label_map
    figures = (result.pq, result.sq, result.rq, result.iou)
    counted = (result.tp, result.fp, result.fn, result.small_gt, result.small_pred)
    return [
        (
            label_map.classes[at],
            result.kind(at),
            *(f"{100 * column[at]:.4f}" for column in figures),
            *(str(column[at]) for column in counted),
        )
        for at in label_map.evaluated
    ]


def notes(result: PanopticResult) -> list[str]:
    """Return the warnings of a result, most important first."""
    counts, label_map = result.counts, result.protocol.label_map
    found: list[str] = []
    if counts.n_missing:
        found.append(f"{counts.n_missing} frames had no predictions and were taken as unlabeled.")
    if counts.n_unknown_labels:
        found.append(
            f"{counts.n_unknown_labels} labels are not in the label map and were taken as unlabeled."
        )
    uncounted = [label_map.classes[at] for at in label_map.evaluated if not result.evaluated[at]]
    if uncounted:
        found.append(
            f"no segment counts for {', '.join(uncounted)}: their figures are 0 and stay in the means, as in"
            " the official tool."
        )
    stuff = [at for at in label_map.evaluated if result.kind(at) == "stuff"]
    split_gt = [f"{label_map.classes[at]} ({result.split_gt[at]})" for at in stuff if result.split_gt[at]]
    if split_gt:
        found.append(
            "frames whose ground truth has several segments of a stuff class, because several raw ids are"
            f" this class or the stuff has instance ids: {', '.join(split_gt)}."
        )
    split_pred = [
        f"{label_map.classes[at]} ({result.split_pred[at]})" for at in stuff if result.split_pred[at]
    ]
    if split_pred:
        found.append(
            "frames whose predictions have several segments of a stuff class (instance id not constant?):"
            f" {', '.join(split_pred)}."
        )
    others = [label_map.classes[at] for at in label_map.evaluated if result.kind(at) == "other"]
    if others:
        found.append(
            f"the means of PQ, SQ, RQ and PQ dagger leave out {', '.join(others)}, as the official script"
            " does; the mean IoU does not."
        )
    return found


def sections(result: PanopticResult) -> list[Section]:
    """Return the result as tables and a matrix."""
    label_map = result.protocol.label_map
    scores = [(name, f"{100 * value:.4f}") for name, value in result.scores().items()]
    return [
        Table(title="Scores in percent", header=("score", "value"), rows=scores),
        Table(
            title=f"Classes in percent; segments under {result.protocol.min_points} points are small",
            header=_HEADER,
            rows=_class_rows(result),
        ),
        Heatmap(
            title="Points",
            row_label="prediction",
            column_label="ground truth",
            row_names=label_map.classes,
            column_names=label_map.classes,
            values=result.confusion,
        ),
    ]
