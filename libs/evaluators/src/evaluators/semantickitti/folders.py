"""Evaluate two folders in the layout of the data set."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from evaluators._parallel import Progress, gather
from evaluators._validation import Missing
from evaluators.semantickitti.evaluator import SemanticKittiEvaluator
from evaluators.semantickitti.files import ScanReader, frame_file, pair_frames
from evaluators.semantickitti.protocol import SPLITS, LabelMap, Unknown
from evaluators.semantickitti.result import SemanticKittiResult


def evaluate_folders(  # noqa: PLR0913 - the options of the evaluator and of collect_folders
    gt_dir: str | Path,
    pred_dir: str | Path,
    *,
    task: str | LabelMap = "single-scan",
    sequences: Sequence[str] = SPLITS["valid"],
    limit: int | None = None,
    missing: Missing = "error",
    unknown: Unknown = "error",
    protocol: str = "semantic-kitti-api",
    processes: int = 1,
) -> SemanticKittiResult:
    """Return the scores of `sequences/SS/predictions` in one folder against `sequences/SS/labels` in another.

    See `evaluate` for the task and the policies, and `collect_folders` for range bins and the errors.

    Example:
        >>> evaluate_folders("SemanticKITTI", "predictions", task="moving")  # doctest: +SKIP
    """
    like = SemanticKittiEvaluator(task, limit=limit, unknown=unknown)
    evaluator = collect_folders(
        gt_dir, pred_dir, like=like, sequences=sequences, missing=missing, processes=processes
    )
    return evaluator.compute(protocol=protocol)


def collect_folders(
    gt_dir: str | Path,
    pred_dir: str | Path,
    *,
    like: SemanticKittiEvaluator | None = None,
    sequences: Sequence[str] = SPLITS["valid"],
    missing: Missing = "error",
    processes: int = 1,
    progress: Progress = iter,
) -> SemanticKittiEvaluator:
    """Return an evaluator that has counted the scans of two folders, paired by name.

    Args:
        gt_dir: Holds sequences/SS/labels/FFFFFF.label, and sequences/SS/velodyne/FFFFFF.bin for range bins.
        pred_dir: Holds sequences/SS/predictions/FFFFFF.label; may be the same folder.
        like: An evaluator with the settings to use; it is left as it is. Default: single scan, no bins.
        processes: One works with two threads and keeps pace with a loop that only reads the files; more of
            them pay for the seconds they take to start only with range bins or on a slow file system.

    Raises:
        FileNotFoundError: A folder, labels, predictions or points are not there.
        ValueError: Predictions without labels, or bad files (see `SemanticKittiEvaluator.update`).
    """
    frames, absent = pair_frames(gt_dir, pred_dir, sequences, missing=missing)
    like = SemanticKittiEvaluator() if like is None else like.empty()
    count = functools.partial(_count, str(gt_dir), str(pred_dir), like, absent)
    if processes != 1:
        return gather(frames, count, processes=processes, progress=progress)
    return _on_threads(count, progress(frames))


class _Shared:
    """An iterator that several threads draw from."""

    def __init__(self, items: Iterable[str]) -> None:
        self._items = iter(items)
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        with self._lock:
            return next(self._items)

    def close(self) -> None:
        """Have no more items, so that all threads come to an end."""
        with self._lock:
            self._items = iter(())


def _on_threads(
    count: Callable[[Iterable[str]], SemanticKittiEvaluator], frames: Iterable[str]
) -> SemanticKittiEvaluator:
    """Count on two threads: while one waits for the disk or copies, the other one counts."""
    shared = _Shared(frames)

    def work() -> SemanticKittiEvaluator:
        try:
            return count(shared)
        except BaseException:
            shared.close()
            raise

    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(work) for _ in range(2)]
        try:
            first, second = (future.result() for future in running)
        except BaseException:
            shared.close()
            raise
    first.merge(second)
    return first


def _count(
    gt_dir: str, pred_dir: str, like: SemanticKittiEvaluator, absent: frozenset[str], frames: Iterable[str]
) -> SemanticKittiEvaluator:
    evaluator = like.empty()
    gt_reader, pred_reader, point_reader = ScanReader(), ScanReader(), ScanReader()
    for frame_id in frames:
        gt_file = frame_file(gt_dir, frame_id, "labels")
        pred_file = frame_file(pred_dir, frame_id, "predictions")
        pred = None if frame_id in absent else pred_reader.labels(pred_file)
        points = None
        if evaluator.ranges_m:
            points = point_reader.points(frame_file(gt_dir, frame_id, "velodyne"))
        evaluator.update(frame_id, gt_reader.labels(gt_file), pred, points, where=(gt_file, pred_file))
    return evaluator
