"""`evaluators kitti`: two folders in, tables and reports out."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evaluators.kitti.protocol import OverlapTable
    from evaluators.kitti.result import KittiResult

from evaluators._cli._common import (
    Report,
    add_choice,
    add_folders,
    add_frames,
    add_missing,
    add_on_invalid,
    add_processes,
    listed_frames,
    reading,
)

SUMMARY = "KITTI object detection: 2D, orientation, bird's eye view, 3D"
DESCRIPTION = """\
KITTI object detection, exactly as the official development kit scores it: image boxes (2d), orientation
(aos), bird's eye view (bev) and 3D boxes (3d), per class and level, over 40 (R40) and 11 (R11) recall
positions.

A frame is one text file with the same name in both folders, one object per line:
  label:      type truncated occluded alpha x1 y1 x2 y2 height width length x y z rotation_y
  detection:  the same fields and a score; truncated and occluded are not used (write -1)
Angles are in radians, sizes and places in metres; x y z is the centre of the bottom face in the rectified
camera frame, y pointing down. A frame in which nothing was found is an empty file.

--protocol scores by the rules of another tool; its float32 arithmetic is not imitated:
  kitti-devkit  the official kit of today
  prclibo       old forks of it: ground truth exactly as high as the minimum counts
  openpcdet     only "DontCare" spelled so is a region; every class is scored; the first detection decides
                whether orientation is
  mmdet3d       the same, but any detection with an alpha decides
"""
_NUMBER = re.compile(r"\d*\.?\d+")
EXAMPLES = """\
  evaluators kitti --gt training/label_2 --pred results
  evaluators kitti --gt training/label_2 --pred results --frames ImageSets/val.txt --json report.json
  evaluators kitti --gt training/label_2 --pred results --explain Car/3d/moderate --html report.html
  evaluators kitti --gt training/label_2 --pred results --score-classes Car Bus=0.6
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    add_folders(parser, gt="folder of label files (label_2)", pred="folder of detection files")
    add_frames(parser)
    protocols = ["kitti-devkit", "prclibo", "openpcdet", "mmdet3d"]
    add_choice(parser, "--protocol", protocols, "whose rules, see above")
    parser.add_argument(
        "--overlaps",
        nargs="+",
        metavar="TABLE",
        default=["strict", "loose"],
        choices=["strict", "loose", "strict-extended", "loose-extended"],
        help="tables to print, of strict, loose, strict-extended, loose-extended; strict is the official one"
        " (Car 0.7, Pedestrian and Cyclist 0.5), loose lowers bev and 3d to 0.5 / 0.25, extended adds Van,"
        " Person_sitting and Truck (default: strict loose)",
    )
    parser.add_argument(
        "--score-classes",
        nargs="+",
        metavar="CLASS[=IOU]",
        help="score these classes, KITTI's or your own, in place of those of the tables (strict, loose); IOU"
        " is the overlap that a hit must exceed (default: that of the tables; for your own classes 0.5)",
    )
    add_missing(parser)
    add_on_invalid(parser)
    text = "score orientation; auto leaves it out if any detection has alpha -10"
    add_choice(parser, "--aos", ["auto", "always", "never"], text)
    parser.add_argument(
        "--explain", metavar="C/M/L", help="also print thresholds and counts behind one figure, first table"
    )
    add_processes(parser)


def evaluate(options: argparse.Namespace) -> Report:
    """Return the scores."""
    from evaluators.kitti import KittiEvaluator, collect_folders

    tables = {name: _table(name, options.score_classes) for name in options.overlaps}
    evaluator = collect_folders(
        **reading(options),
        like=KittiEvaluator(on_invalid=options.on_invalid),
        frames=listed_frames(options),
        missing=options.missing,
    )
    results = {
        name: evaluator.compute(protocol=options.protocol, overlaps=table, aos=options.aos)
        for name, table in tables.items()
    }
    remark = options.explain and _explain(results[options.overlaps[0]], options.explain)
    return Report(title="KITTI object detection", results=results, remark=remark or "")


def _table(overlaps: str, classes: Sequence[str] | None) -> OverlapTable:
    from evaluators.kitti.protocol import overlap_table, table_of_classes

    if classes is None:
        return overlap_table(overlaps)
    names: list[str] = []
    least: dict[str, float] = {}
    for word in classes:
        name, given, overlap = word.partition("=")
        if given and not _NUMBER.fullmatch(overlap):
            raise ValueError(f"--score-classes: expected CLASS or CLASS=IOU such as Bus=0.5, got {word}")
        names.append(name)
        least |= {name: float(overlap)} if given else {}
    return table_of_classes(names, overlaps, min_overlaps=least)


def _explain(result: KittiResult, request: str) -> str:
    from evaluators.kitti.protocol import METRICS, Metric

    parts = request.split("/")
    metric: Metric | None = next((name for name in METRICS if name in parts[1:2]), None)
    if metric is None or len(parts) != 3:
        raise ValueError(
            f"--explain expects class/metric/level with metric {', '.join(METRICS)}, got {request!r};"
            " for example Car/3d/moderate"
        )
    return result.explain(parts[0], metric, parts[2])
