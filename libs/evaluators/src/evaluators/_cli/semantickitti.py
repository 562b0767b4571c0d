"""`evaluators semantickitti`: two folders in, a table and a report out; or a submission to pack and check."""

from __future__ import annotations

import argparse
from pathlib import Path

from evaluators._cli._common import (
    Protocols,
    add_missing,
    add_outputs,
    add_processes,
    check_outputs,
    new_parser,
    progress_bar,
    publish,
)

_DESCRIPTION = """\
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
_EXAMPLES = """\
  evaluators semantickitti --gt SemanticKITTI --pred results
  evaluators semantickitti --gt SemanticKITTI --pred results --ranges --json report.json --html report.html
  evaluators semantickitti --gt SemanticKITTI --pred results --task moving --sequences 08
  evaluators semantickitti --pred results --zip submission.zip --dataset SemanticKITTI
  evaluators semantickitti --check-submission submission.zip --dataset SemanticKITTI
"""


def add_parser(protocols: Protocols) -> None:
    """Add the options of this protocol."""
    parser = new_parser(
        protocols,
        "semantickitti",
        summary="SemanticKITTI segmentation: single scan, multi scan, moving objects, submissions",
        description=_DESCRIPTION,
        examples=_EXAMPLES,
    )
    add = parser.add_argument
    add("--gt", type=Path, metavar="DIR", help="folder that holds sequences/SS/labels")
    add("--pred", type=Path, metavar="DIR", help="folder that holds sequences/SS/predictions")
    add(
        "--task",
        default="single-scan",
        choices=["single-scan", "multi-scan", "moving"],
        help="which classes to tell apart (default: single-scan)",
    )
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument(
        "--split",
        default="valid",
        choices=["train", "valid", "test"],
        help="sequences to evaluate: train 00-07 09 10, valid 08, test 11-21 (default: valid)",
    )
    chosen.add_argument(
        "--sequences", nargs="+", metavar="SS", help="sequences to evaluate, instead of a split"
    )
    add(
        "--ranges",
        action="store_true",
        help="also score points nearer than 10, 20, 30, 40 and 50 m in bins; reads GT/sequences/SS/velodyne",
    )
    add("--limit", type=int, metavar="N", help="take the first N points of every scan only")
    add(
        "--unknown",
        default="error",
        choices=["error", "unlabeled"],
        help="raw ids outside the list: stop, or take them as unlabeled and say so (default: error)",
    )
    add(
        "--protocol",
        dest="rule",
        default="semantic-kitti-api",
        choices=["semantic-kitti-api", "spvnas", "mmdet3d", "torchmetrics"],
        help="a class that does not occur counts as 0 (semantic-kitti-api, the official tool), as 1 (spvnas),"
        " or is left out of the mean (mmdet3d, torchmetrics) (default: semantic-kitti-api)",
    )
    add_missing(parser)
    add_processes(parser)
    add_outputs(parser)
    hand_in = parser.add_argument_group("submission of the test sequences")
    hand_in.add_argument(
        "--zip", type=Path, metavar="FILE", help="pack the predictions of --pred, then check"
    )
    hand_in.add_argument(
        "--check-submission",
        type=Path,
        metavar="PATH",
        help="report all that is wrong with an archive (nothing is unpacked) or with a folder",
    )
    hand_in.add_argument(
        "--dataset",
        type=Path,
        metavar="DIR",
        help="folder that holds sequences/11..21/velodyne, to check sizes",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Evaluate and print, or pack and check a submission.

    Raises:
        ValueError: Bad files or frames, or a submission with problems.
        OSError: Missing files or folders.
    """
    if options.zip is not None:
        _need(options, "pred")
        from evaluators.semantickitti import zip_submission

        zip_submission(options.pred, options.zip)
        _check(options.zip, options)
    elif options.check_submission is not None:
        _check(options.check_submission, options)
    else:
        _need(options, "gt", "pred")
        _evaluate(options)


def _need(options: argparse.Namespace, *names: str) -> None:
    for name in names:
        if getattr(options, name) is None:
            raise ValueError(f"--{name} is needed here; see evaluators semantickitti --help")


def _check(path: Path, options: argparse.Namespace) -> None:
    from evaluators.semantickitti import check_submission

    report = check_submission(
        path, dataset=options.dataset, task=options.task, progress=progress_bar("scans")
    )
    if not report.ok:
        raise ValueError(report.table())
    print(report.table())  # noqa: T201 - a command line


def _evaluate(options: argparse.Namespace) -> None:
    from evaluators.semantickitti import RANGES_M, SPLITS, SemanticKittiEvaluator, collect_folders

    check_outputs(options)
    evaluator = collect_folders(
        options.gt,
        options.pred,
        like=SemanticKittiEvaluator(
            options.task,
            ranges_m=RANGES_M if options.ranges else (),
            limit=options.limit,
            unknown=options.unknown,
        ),
        sequences=options.sequences or SPLITS[options.split],
        missing=options.missing,
        processes=options.processes,
        progress=progress_bar("scans"),
    )
    result = evaluator.compute(protocol=options.rule)
    publish(options, {options.task: result}, title=f"SemanticKITTI, {options.task}")
