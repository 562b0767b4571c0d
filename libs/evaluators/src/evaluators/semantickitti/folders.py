"""Evaluate two folders in the layout of the data set."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from evaluators._parallel import Progress, gather
from evaluators._validation import Missing
from evaluators.semantickitti.evaluator import SemanticKittiEvaluator
from evaluators.semantickitti.files import ScanReader, frame_file, pair_frames
from evaluators.semantickitti.protocol import SINGLE_SCAN, SPLITS, LabelMap, Unknown
from evaluators.semantickitti.result import SemanticKittiResult


def evaluate_folders(
    gt_root: str | Path,
    pred_root: str | Path,
    *,
    task: str | LabelMap = SINGLE_SCAN,
    sequences: Sequence[str] = SPLITS["valid"],
    limit: int | None = None,
    missing: Missing = "error",
    unknown: Unknown = "error",
    protocol: str = "semantic-kitti-api",
) -> SemanticKittiResult:
    """Return the scores of `sequences/SS/predictions` in one folder against `sequences/SS/labels` in another.

    See `evaluate` for the task and the policies, and `collect_folders` for range bins and the errors.

    Example:
        >>> evaluate_folders("SemanticKITTI", "predictions", task="moving")  # doctest: +SKIP
    """
    evaluator = SemanticKittiEvaluator(task, limit=limit, unknown=unknown)
    filled = collect_folders(gt_root, pred_root, like=evaluator, sequences=sequences, missing=missing)
    return filled.compute(protocol=protocol)


def collect_folders(
    gt_root: str | Path,
    pred_root: str | Path,
    *,
    like: SemanticKittiEvaluator | None = None,
    sequences: Sequence[str] = SPLITS["valid"],
    missing: Missing = "error",
    processes: int = 1,
    progress: Progress = iter,
) -> SemanticKittiEvaluator:
    """Return an evaluator that has counted the scans of two folders, paired by name.

    Args:
        gt_root: Holds sequences/SS/labels/FFFFFF.label, and sequences/SS/velodyne/FFFFFF.bin for range bins.
        pred_root: Holds sequences/SS/predictions/FFFFFF.label; may be the same folder.
        like: An evaluator with the settings to use; it is left as it is. Default: single scan, no bins.
        processes: One reads with two threads and is as fast as the files come from memory; a pool of
            processes takes seconds to start.

    Raises:
        FileNotFoundError: A folder, labels, predictions or points are not there.
        ValueError: Predictions without labels, or bad files (see `SemanticKittiEvaluator.update`).
    """
    frames, absent = pair_frames(gt_root, pred_root, sequences, missing=missing)
    like = SemanticKittiEvaluator() if like is None else like.empty()
    collect = functools.partial(_collect, str(gt_root), str(pred_root), like, absent)
    return gather(frames, collect, processes=processes, progress=progress)


def _collect(
    gt_root: str, pred_root: str, like: SemanticKittiEvaluator, absent: frozenset[str], frames: Sequence[str]
) -> SemanticKittiEvaluator:
    """Count the scans on two threads: while one waits for the disk or copies, the other one counts."""
    count = functools.partial(_count, gt_root, pred_root, like, absent)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(count, (frames[::2], frames[1::2]))
    first.merge(second)
    return first


def _count(
    gt_root: str, pred_root: str, like: SemanticKittiEvaluator, absent: frozenset[str], frames: Sequence[str]
) -> SemanticKittiEvaluator:
    evaluator = like.empty()
    gt_reader, pred_reader, point_reader = ScanReader(), ScanReader(), ScanReader()
    for frame_id in frames:
        gt_file = frame_file(gt_root, frame_id, "labels")
        pred_file = frame_file(pred_root, frame_id, "predictions")
        pred = None if frame_id in absent else pred_reader.labels(pred_file)
        points = None
        if evaluator.ranges_m:
            points = point_reader.points(frame_file(gt_root, frame_id, "velodyne"))
        evaluator.update(frame_id, gt_reader.labels(gt_file), pred, points, where=(gt_file, pred_file))
    return evaluator
