"""The app's own part of a report: networks side by side, scans in the colours of their classes, errors."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from datasets3d.segmentation import LabelledScan
from evaluators.page import Table
from evaluators.semantickitti import SemanticKittiResult
from fusion3d_appkit import report
from fusion3d_appkit.draw import titled
from fusion3d_appkit.report import Chapter, spread
from jaxtyping import UInt8

from cluster3dseg.inference import classes_of_points
from cluster3dseg.pictures import around, class_legend, error_colours, from_above
from cluster3dseg.task import SegmentationTask

SHOWN_SCANS = 4


def compare(results: Mapping[str, SemanticKittiResult]) -> Table:
    """Return the IoU of every class in percent, in the columns of the paper's table, of every network."""
    first = next(iter(results.values()))
    names = first.label_map.evaluated_names
    rows = []
    for name, result in results.items():
        values = [result.scores.miou, result.scores.accuracy, *(result.iou(cls) for cls in names)]
        rows.append([name, *("-" if np.isnan(value) else f"{100 * value:.1f}" for value in values)])
    return Table(title="IoU in percent", header=["network", "mean", "accuracy", *names], rows=rows)


def scan_chapter(
    task: SegmentationTask, shown: list[tuple[LabelledScan, UInt8[np.ndarray, " n"]]]
) -> Chapter:
    """Return labels, predictions and errors of some scans, from above and around the sensor."""
    table, rows = task.data.reading.table, []
    for scan, found in shown:
        kinds = {"predicted": table.colours(found)}
        if scan.classes is not None:
            kinds = {
                "labelled": table.colours(scan.classes),
                **kinds,
                "wrong in red": error_colours(found, scan.classes),
            }
        for draw in (from_above, around):
            pictures = [
                report.drawing(titled(draw(scan.points, colours), name), caption=f"{scan.frame_id}: {name}")
                for name, colours in kinds.items()
            ]
            rows.append(report.row(*pictures))
    classes = np.concatenate([found for _, found in shown] or [np.zeros(0, np.uint8)])
    return Chapter(
        "Scans",
        report.drawing(class_legend(table, classes), caption="colours of the classes") + "".join(rows),
    )


def chapters(task: SegmentationTask) -> list[Chapter]:
    """Return pictures of some scans that `test` evaluates."""
    data, network = task.data, task.network.eval()
    scans = data.source(data.test_split)
    chosen = [scans[index] for index in spread(len(scans), SHOWN_SCANS)]
    shown = [
        (scan, classes_of_points(network, scan, data.reading.sampling, views=task.views)) for scan in chosen
    ]
    return [scan_chapter(task, shown)]
