"""The printed forms of a result."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evaluators._text import cell, recall_chart, set_aside, text
from evaluators.nuscenes.protocol import MEAN_NAMES, RECALL_POSITIONS, TP_ERRORS, TpError
from evaluators.page import LineChart, Section, Table

if TYPE_CHECKING:
    from evaluators.nuscenes.result import NuscenesResult

_AXIS: dict[TpError, str] = {
    "trans_err": "place error (m)",
    "scale_err": "size error (1 - overlap)",
    "orient_err": "yaw error (rad)",
    "vel_err": "velocity error (m/s)",
    "attr_err": "share of wrong attributes",
}


def table(result: NuscenesResult) -> str:
    """Return the result as text: the means, one line per class, the notes."""
    counts = result.counts
    means = "   ".join(f"{MEAN_NAMES[error]} {value:.4f}" for error, value in result.tp_errors.items())
    head = [
        f"nuScenes detection, {result.protocol.name}: {counts.n_frames} frames, {counts.n_gt} objects,"
        f" {counts.n_pred} predictions. Fractions, not percent.",
        "",
        f"mAP {result.mean_ap:.4f}   NDS {result.nds:.4f}   {means}",
    ]
    return text(head, _classes(result), notes=notes(result))


def _classes(result: NuscenesResult) -> Table:
    distances = result.protocol.dist_thresholds_m
    errors = [MEAN_NAMES[error][1:] for error in TP_ERRORS]
    rows: list[list[str]] = []
    for name in result.protocol.class_names:
        curve = result.curve(name)
        figures = [result.ap(name), *(result.ap(name, distance) for distance in distances)]
        figures += [result.tp_error(name, error) for error in TP_ERRORS]
        shown = [cell(figure if curve.evaluated else None) for figure in figures]
        rows.append([name, *shown, str(curve.n_gt), str(curve.n_tp)])
    header = ["class", "AP", *(f"AP {distance:g}m" for distance in distances), *errors, "objects", "found"]
    return Table(title="Classes", header=header, rows=rows)


def notes(result: NuscenesResult) -> list[str]:
    """Return the warnings of a result, most important first."""
    counts = result.counts
    found = set_aside(counts.n_missing, counts.n_dropped_gt, counts.n_dropped_pred)
    if result.protocol.accepts == "devkit":
        found.append(
            "predictions are taken as the official kit takes them: velocities with a NaN, attributes of other"
            " classes and quaternions of any length are let through."
        )
    absent = [name for name in result.protocol.class_names if not result.curve(name).evaluated]
    if absent:
        found.append(
            f"no ground truth of {', '.join(absent)}: AP 0 and errors 1 by the protocol, means included."
        )
    aside = counts.n_gt_out_of_range + counts.n_gt_without_points + counts.n_gt_in_racks
    if aside:
        found.append(
            f"{aside} of {counts.n_gt} objects do not count: {counts.n_gt_out_of_range} out of range,"
            f" {counts.n_gt_without_points} without LiDAR or radar points, {counts.n_gt_in_racks} in racks."
        )
    if counts.n_tied_scores:
        found.append(
            f"{counts.n_tied_scores} predictions share their score with another one of their class;"
            " the later one goes first, so the order of the frames matters."
        )
    return found


def sections(result: NuscenesResult) -> list[Section]:
    """Return the tables, the precision of all classes at every distance, and the errors over recall."""
    recall = np.linspace(0.0, 1.0, RECALL_POSITIONS)
    protocol = result.protocol
    means = [["mAP", f"{result.mean_ap:.4f}"], ["NDS", f"{result.nds:.4f}"]]
    means += [[MEAN_NAMES[error], f"{value:.4f}"] for error, value in result.tp_errors.items()]
    found: list[Section] = [
        Table(title="Means", header=["figure", "value"], rows=means),
        _classes(result),
    ]
    for dist in protocol.dist_thresholds_m:
        lines = {name: (recall, result.curve(name, dist).precision) for name in protocol.class_names}
        found.append(recall_chart(f"Precision, hits within {dist:g} m", lines))
    for error in result.tp_errors:
        # Beyond the recall that was reached there is nothing to show.
        curves = {
            rule.name: (recall[reached], result.curve(rule.name).errors[error][reached])
            for rule in protocol.classes
            if error not in rule.unscored
            and len(reached := np.flatnonzero(result.curve(rule.name).confidence)) > 0
        }
        if curves:
            found.append(
                LineChart(
                    title=f"{MEAN_NAMES[error]}: mean {_AXIS[error]} of the hits",
                    x_label="recall",
                    y_label=_AXIS[error],
                    lines=curves,
                    x_range=(0.0, 1.0),
                )
            )
    return found
