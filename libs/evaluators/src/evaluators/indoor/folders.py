"""Evaluate two folders, one file per frame in each."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from evaluators._pairs import collect_pairs, paired_files
from evaluators._parallel import Progress
from evaluators._validation import Missing, OnInvalid
from evaluators.indoor.evaluator import IndoorEvaluator
from evaluators.indoor.files import SUFFIXES, read_ground_truth, read_predictions
from evaluators.indoor.protocol import THRESHOLDS, ClassTable, MeanOver, Protocol
from evaluators.indoor.result import IndoorResult


def evaluate_folders(  # noqa: PLR0913 - all but the folders are keywords with defaults
    gt_dir: str | Path,
    pred_dir: str | Path,
    *,
    frames: Collection[str] | None = None,
    classes: str | ClassTable = "scannet",
    thresholds: Sequence[float] = THRESHOLDS,
    mean_over: MeanOver = "gt",
    protocol: Protocol = "mmdet3d",
    missing: Missing = "error",
    on_invalid: OnInvalid = "error",
    processes: int = 1,
) -> IndoorResult:
    """Return the figures of the prediction files in `pred_dir` against the files in `gt_dir`.

    A frame is one file `<frame>.npz` or `<frame>.json` in each folder. See `evaluate` for the protocol,
    `collect_folders` for the rules on frames and the errors, `read_predictions` for the format.

    Example:
        >>> evaluate_folders("gt", "predictions", classes="sunrgbd")  # doctest: +SKIP
    """
    like = IndoorEvaluator(classes=classes, protocol=protocol, on_invalid=on_invalid)
    evaluator = collect_folders(
        gt_dir, pred_dir, like=like, frames=frames, missing=missing, processes=processes
    )
    return evaluator.compute(thresholds=thresholds, mean_over=mean_over)


def collect_folders(
    gt_dir: str | Path,
    pred_dir: str | Path,
    *,
    like: IndoorEvaluator | None = None,
    frames: Collection[str] | None = None,
    missing: Missing = "error",
    processes: int = 1,
    progress: Progress = iter,
) -> IndoorEvaluator:
    """Return an evaluator that holds the frames of two folders, ready to compute at any thresholds.

    Args:
        like: An evaluator with the settings to use; it is left as it is. Default: ScanNet's classes.
        frames: The frames to evaluate; all in `gt_dir` if None. Prediction files of other frames with ground
            truth are left alone; a prediction file without ground truth is always refused.
        missing: What to do with frames that have no prediction file.
        processes: How many read files; 1 reads in this process.

    Raises:
        FileNotFoundError: A folder or a ground truth file is not there; prediction files are missing.
        ValueError: Predictions for unknown frames; a frame listed twice or in two files; bad files.
    """
    nothing = "write empty arrays where nothing was found, or pass missing='empty' (--missing empty)"
    pairs = paired_files(gt_dir, pred_dir, suffixes=SUFFIXES, frames=frames, missing=missing, nothing=nothing)
    like = IndoorEvaluator() if like is None else like
    return collect_pairs(
        like, pairs, read_ground_truth, read_predictions, processes=processes, progress=progress
    )
