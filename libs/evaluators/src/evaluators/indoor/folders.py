"""Evaluate two folders, one file per scene in each."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

from evaluators._pairs import FilePairs, paired_files
from evaluators._parallel import Progress, gather
from evaluators._validation import Missing, OnInvalid
from evaluators.indoor.evaluator import IndoorEvaluator
from evaluators.indoor.files import SUFFIXES, read_ground_truth, read_predictions
from evaluators.indoor.protocol import THRESHOLDS, ClassTable, MeanOver, Protocol
from evaluators.indoor.result import IndoorResult


def evaluate_folders(  # noqa: PLR0913 - all but the folders are keywords with defaults
    gt_dir: str | Path,
    pred_dir: str | Path,
    *,
    scenes: Sequence[str] | None = None,
    classes: str | ClassTable = "scannet",
    thresholds: Sequence[float] = THRESHOLDS,
    mean_over: MeanOver = "gt",
    protocol: Protocol = "mmdet3d",
    missing: Missing = "error",
    on_invalid: OnInvalid = "error",
    processes: int = 1,
) -> IndoorResult:
    """Return the figures of the prediction files in `pred_dir` against the files in `gt_dir`.

    A scene is one file `<scene>.npz` or `<scene>.json` in each folder. See `evaluate` for the protocol,
    `collect_folders` for the rules on scenes and the errors, `read_predictions` for the format.

    Example:
        >>> evaluate_folders("gt", "predictions", classes="sunrgbd")  # doctest: +SKIP
    """
    evaluator = collect_folders(
        gt_dir,
        pred_dir,
        scenes=scenes,
        classes=classes,
        protocol=protocol,
        missing=missing,
        on_invalid=on_invalid,
        processes=processes,
    )
    return evaluator.compute(thresholds=thresholds, mean_over=mean_over)


def collect_folders(  # noqa: PLR0913 - as above
    gt_dir: str | Path,
    pred_dir: str | Path,
    *,
    scenes: Sequence[str] | None = None,
    classes: str | ClassTable = "scannet",
    protocol: Protocol = "mmdet3d",
    missing: Missing = "error",
    on_invalid: OnInvalid = "error",
    processes: int = 1,
    progress: Progress = iter,
) -> IndoorEvaluator:
    """Return an evaluator that holds the scenes of two folders, ready to compute at any thresholds.

    Args:
        scenes: The scenes to evaluate; all in `gt_dir` if None. Prediction files of other scenes with ground
            truth are left alone; a prediction file without ground truth is always refused.
        missing: What to do with scenes that have no prediction file.
        processes: How many read files; 1 reads in this process.

    Raises:
        FileNotFoundError: A folder or a ground truth file is not there; prediction files are missing.
        ValueError: Predictions for unknown scenes; a scene listed twice or in two files; bad files.
    """
    pairs = paired_files(
        gt_dir,
        pred_dir,
        suffixes=SUFFIXES,
        names=scenes,
        missing=missing,
        kind="scenes",
        nothing="write empty arrays where nothing was found, or pass missing='empty' (--missing empty)",
    )
    collect = functools.partial(_collect, classes, protocol, on_invalid, pairs)
    return gather(pairs.names, collect, processes=processes, progress=progress)


def _collect(
    classes: str | ClassTable,
    protocol: Protocol,
    on_invalid: OnInvalid,
    pairs: FilePairs,
    scenes: Sequence[str],
) -> IndoorEvaluator:
    evaluator = IndoorEvaluator(classes=classes, protocol=protocol, on_invalid=on_invalid)
    for scene in scenes:
        pred_file = pairs.pred.get(scene)
        pred = None if pred_file is None else read_predictions(pred_file)
        evaluator.update(scene, read_ground_truth(pairs.gt[scene]), pred)
    return evaluator
