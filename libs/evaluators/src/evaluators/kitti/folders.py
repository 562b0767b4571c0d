"""Evaluate two folders of text files, one file per frame."""

from __future__ import annotations

import functools
from collections.abc import Collection, Sequence
from pathlib import Path

from evaluators._pairs import FilePairs, paired_files
from evaluators._parallel import Progress, gather
from evaluators._validation import Missing, OnInvalid
from evaluators.kitti.evaluator import AosMode, KittiEvaluator
from evaluators.kitti.files import NonFinite, read_detection_rows, read_label_rows
from evaluators.kitti.protocol import DIFFICULTIES, Difficulty, OverlapTable, Protocol
from evaluators.kitti.result import KittiResult


def evaluate_folders(  # noqa: PLR0913 - the options of collect_folders and of compute
    gt_dir: str | Path,
    pred_dir: str | Path,
    *,
    frames: Collection[str] | None = None,
    protocol: str | Protocol = "kitti-devkit",
    overlaps: str | OverlapTable = "strict",
    difficulties: Sequence[Difficulty] = DIFFICULTIES,
    missing: Missing = "error",
    aos: AosMode = "auto",
    on_invalid: OnInvalid = "error",
    processes: int = 1,
) -> KittiResult:
    """Return the scores of the prediction files in `pred_dir` against the label files in `gt_dir`.

    A frame is one file `<frame>.txt` in each folder. See `evaluate` for the protocol and the policies, and
    `collect_folders` for the rules on frames and the errors.

    Example:
        >>> evaluate_folders("label_2", "predictions", missing="empty")  # doctest: +SKIP
    """
    evaluator = collect_folders(
        gt_dir,
        pred_dir,
        like=KittiEvaluator(on_invalid=on_invalid),
        frames=frames,
        missing=missing,
        processes=processes,
    )
    return evaluator.compute(protocol=protocol, overlaps=overlaps, difficulties=difficulties, aos=aos)


def collect_folders(
    gt_dir: str | Path,
    pred_dir: str | Path,
    *,
    like: KittiEvaluator | None = None,
    frames: Collection[str] | None = None,
    missing: Missing = "error",
    processes: int = 1,
    progress: Progress = iter,
) -> KittiEvaluator:
    """Return an evaluator that holds the frames of two folders, ready to compute under several tables.

    Args:
        like: An evaluator with the settings to use; it is left as it is.
        frames: The frames to evaluate; all label files if None. Prediction files of other labelled frames are
            left alone; a prediction file without a label file is always refused.
        missing: What to do with frames that have no prediction file.
        processes: How many read files; more than one pays for slow disks and beyond some ten thousand frames.
        progress: Wraps the frame names while they are read, for example `tqdm.tqdm`.

    Raises:
        FileNotFoundError: A folder or a label file is not there; prediction files are missing.
        ValueError: Predictions for unknown frames; a frame listed twice; bad lines (see `read_ground_truth`).
    """
    nothing = "write an empty file where nothing was found, or pass missing='empty' (--missing empty)"
    pairs = paired_files(
        gt_dir, pred_dir, suffixes=(".txt",), frames=frames, missing=missing, nothing=nothing
    )
    like = KittiEvaluator() if like is None else like.empty()
    # Many frames at once, which is far sooner done than one by one.
    collect = functools.partial(_collect, like, pairs)
    return gather(pairs.frames, collect, processes=processes, progress=progress)


def _collect(like: KittiEvaluator, pairs: FilePairs, frames: Sequence[str]) -> KittiEvaluator:
    """Return an evaluator with some of the frames."""
    evaluator = like.empty()
    non_finite: NonFinite = "error" if evaluator.on_invalid == "error" else "keep"
    found = [pairs.pred.get(frame_id) for frame_id in frames]
    evaluator.update_rows(
        {frame_id: path is None for frame_id, path in zip(frames, found, strict=True)},
        read_label_rows([pairs.gt[frame_id] for frame_id in frames], non_finite),
        read_detection_rows(found, non_finite),
    )
    return evaluator
