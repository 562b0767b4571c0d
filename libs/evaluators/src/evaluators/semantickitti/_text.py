"""The report as text and as sections of a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluators._text import aligned, cell
from evaluators.page import Heatmap, Section, Table
from evaluators.semantickitti.confusion import SegmentationScores
from evaluators.semantickitti.protocol import MOVING, absent_rule

if TYPE_CHECKING:
    from evaluators.semantickitti.result import SemanticKittiResult

_ABSENT = {
    "zero": "counts as 0 in the mean, as in the official tool",
    "skip": "is left out of the mean; the official tool counts it as 0",
    "one": "counts as 1 in the mean; the official tool counts it as 0",
}


def notes(result: SemanticKittiResult) -> list[str]:
    """Return what a reader must know before believing the figures, one sentence each."""
    said: list[str] = []
    counts, scores, rule = result.counts, result.scores, absent_rule(result.protocol)
    if rule == "one":
        absent = [name for name, i in _evaluated(result) if scores.tp[i] + scores.fn[i] == 0]
    else:
        absent = [name for name, i in _evaluated(result) if scores.tp[i] + scores.fp[i] + scores.fn[i] == 0]
    if absent:
        said.append(f"No points of {', '.join(absent)}: a class that does not occur {_ABSENT[rule]}.")
    if result.protocol != "semantic-kitti-api":
        said.append(f"Means follow {result.protocol}; they are not those of the official benchmark.")
    rows = list(result.label_map.ignored)
    evaluated = list(result.label_map.evaluated)
    dodged = int(result.confusion[rows][:, evaluated].sum())
    if dodged:
        said.append(
            f"{dodged} labelled points were predicted as unlabeled: each is a miss of its class, but the"
            " official accuracy leaves them out."
        )
    if counts.n_missing:
        said.append(f"{counts.n_missing} frames had no predictions; all their points count as unlabeled.")
    if counts.n_unknown_gt or counts.n_unknown_pred:
        said.append(
            f"Unknown raw ids were taken as unlabeled: {counts.n_unknown_gt} points of the ground truth,"
            f" {counts.n_unknown_pred} of the predictions."
        )
    if not scores.tp.any() and not scores.fn.any():
        said.append("No point has evaluated ground truth.")
    return said


def table(result: SemanticKittiResult) -> str:
    """Return the figures in percent as text."""
    shown = result.counts
    lines = [
        f"SemanticKITTI, {result.label_map.name}: {shown.n_frames} frames, {shown.n_points} points",
        *aligned(_class_table(result)),
        "",
        *(f"{name}  {value}" for name, value in _summary(result)),
    ]
    if result.ranges_m:
        lines += ["", "by distance", *aligned(_range_table(result))]
    return "\n".join(lines + [f"Note: {note}" for note in notes(result)])


def sections(result: SemanticKittiResult) -> list[Section]:
    """Return the figures as tables, and the confusion matrix as a heat map."""
    names = result.label_map.classes
    parts: list[Section] = [
        Table(title="Over all classes", header=("figure", "percent"), rows=_summary(result)),
        _class_table(result),
    ]
    if result.ranges_m:
        parts.append(_range_table(result))
    parts.append(
        Heatmap(
            title="Confusion matrix (points)",
            row_label="ground truth",
            column_label="prediction",
            row_names=names,
            column_names=names,
            values=result.confusion.T,
        )
    )
    return parts


def _evaluated(result: SemanticKittiResult) -> list[tuple[str, int]]:
    return [(result.label_map.classes[i], i) for i in result.label_map.evaluated]


def _summary(result: SemanticKittiResult) -> list[tuple[str, str]]:
    scores = result.scores
    rows = [
        ("mIoU", _percent(scores.miou)),
        ("accuracy (official)", _percent(scores.accuracy)),
        ("accuracy (all labelled points)", _percent(scores.overall_accuracy)),
    ]
    if result.label_map == MOVING:
        rows.insert(0, ("IoU of moving (the score of the benchmark)", _percent(result.iou("moving"))))
    return rows


def _class_table(result: SemanticKittiResult) -> Table:
    scores = result.scores
    return Table(
        title="Classes",
        header=("class", "IoU %", "found", "wrong", "missed"),
        rows=[
            (name, _percent(scores.iou[i]), str(scores.tp[i]), str(scores.fp[i]), str(scores.fn[i]))
            for name, i in _evaluated(result)
        ],
    )


def _range_table(result: SemanticKittiResult) -> Table:
    by_range: tuple[SegmentationScores, ...] = result.range_scores
    rows = [(name, *(_percent(scores.iou[i]) for scores in by_range)) for name, i in _evaluated(result)]
    rows += [
        ("mIoU", *(_percent(scores.miou) for scores in by_range)),
        ("accuracy (official)", *(_percent(scores.accuracy) for scores in by_range)),
        ("labelled points", *(str(scores.tp.sum() + scores.fn.sum()) for scores in by_range)),
    ]
    # The official nearest bin starts at 1e-8 m, to leave out points without a return.
    header = ("IoU %", *(f"{round(near, 3):g}-{far:g} m" for near, far in result.ranges_m))
    return Table(title="By distance to the sensor", header=header, rows=rows)


def _percent(share: float) -> str:
    return cell(100.0 * share, digits=2)
