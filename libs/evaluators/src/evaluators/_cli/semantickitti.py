"""`evaluators semantickitti`: two folders in, a table and a report out; or a submission to pack and check."""

from __future__ import annotations

import argparse
from pathlib import Path

from evaluators._cli._common import (
    Report,
    add_choice,
    add_missing,
    add_processes,
    add_sequences,
    add_unknown,
    chosen_sequences,
    progress_bar,
    reading,
)

SUMMARY = "SemanticKITTI segmentation: single scan, multi scan, moving objects, submissions"
DESCRIPTION = """\
SemanticKITTI semantic segmentation, exactly as the official semantic-kitti-api scores it: IoU of every class
from one confusion matrix over all scans, their mean, and the accuracy.

Labels and predictions are files of one little-endian uint32 per point, in the order of the scan:
  GT/sequences/SS/labels/FFFFFF.label           lower 16 bits: raw class id, upper 16 bits: instance
  PRED/sequences/SS/predictions/FFFFFF.label    the same; raw ids (10 car, 40 road, ...), not train ids
  GT/sequences/SS/velodyne/FFFFFF.bin           x y z remission as float32, for --ranges only
Scans are paired by name. Points whose ground truth is unlabeled, outlier or other do not count.

tasks:
  single-scan  19 classes; moving objects count as their static class
  multi-scan   25 classes; moving and static objects apart
  moving       moving-object segmentation; predict 9 (static) or 251 (moving), or any raw id
"""
EXAMPLES = """\
  evaluators semantickitti --gt SemanticKITTI --pred results
  evaluators semantickitti --gt SemanticKITTI --pred results --ranges --json report.json --html report.html
  evaluators semantickitti --gt SemanticKITTI --pred results --task moving --sequences 08
  evaluators semantickitti --pred results --zip submission.zip --dataset SemanticKITTI
  evaluators semantickitti --check-submission submission.zip --dataset SemanticKITTI
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    add = parser.add_argument
    add("--gt", type=Path, metavar="DIR", help="folder that holds sequences/SS/labels")
    add("--pred", type=Path, metavar="DIR", help="folder that holds sequences/SS/predictions")
    add_choice(parser, "--task", ["single-scan", "multi-scan", "moving"], "which classes to tell apart")
    add_sequences(parser)
    add(
        "--ranges",
        action="store_true",
        help="also score points nearer than 10, 20, 30, 40 and 50 m in bins; reads GT/sequences/SS/velodyne",
    )
    add("--limit", type=int, metavar="N", help="take the first N points of every scan only")
    add_unknown(parser)
    text = (
        "a class that does not occur counts as 0 (semantic-kitti-api, the official tool), as 1 (spvnas), or"
        " is left out of the mean (mmdet3d, torchmetrics)"
    )
    add_choice(parser, "--protocol", ["semantic-kitti-api", "spvnas", "mmdet3d", "torchmetrics"], text)
    add_missing(parser)
    add_processes(parser)
    submission = parser.add_argument_group("submission of the test sequences").add_argument
    submission("--zip", type=Path, metavar="FILE", help="pack the predictions of --pred, then check")
    submission(
        "--check-submission",
        type=Path,
        metavar="PATH",
        help="report all that is wrong with an archive (nothing is unpacked) or with a folder",
    )
    submission(
        "--dataset",
        type=Path,
        metavar="DIR",
        help="folder that holds sequences/11..21/velodyne, to check sizes",
    )


def evaluate(options: argparse.Namespace) -> Report:
    """Return the scores, or what a check of a submission found."""
    if options.zip is not None:
        _need(options, "pred")
        from evaluators.semantickitti import zip_submission

        zip_submission(options.pred, options.zip)
        return _checked(options.zip, options)
    if options.check_submission is not None:
        return _checked(options.check_submission, options)
    _need(options, "gt", "pred")
    return _evaluated(options)


def _need(options: argparse.Namespace, *names: str) -> None:
    for name in names:
        if getattr(options, name) is None:
            raise ValueError(f"--{name} is needed here; see evaluators semantickitti --help")


def _checked(path: Path, options: argparse.Namespace) -> Report:
    from evaluators.semantickitti import check_submission

    report = check_submission(path, dataset=options.dataset, task=options.task, progress=progress_bar())
    if not report.ok:
        raise ValueError(report.table())
    return Report(results={}, remark=report.table())


def _evaluated(options: argparse.Namespace) -> Report:
    from evaluators.semantickitti import RANGES_M, SemanticKittiEvaluator, collect_folders

    like = SemanticKittiEvaluator(
        options.task,
        ranges_m=RANGES_M if options.ranges else (),
        limit=options.limit,
        unknown=options.unknown,
    )
    sequences = chosen_sequences(options)
    evaluator = collect_folders(**reading(options), like=like, sequences=sequences, missing=options.missing)
    result = evaluator.compute(protocol=options.protocol)
    return Report(title=f"SemanticKITTI, {options.task}", results={options.task: result})
