"""Evaluate two folders of .npz files, one file per frame."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evaluators._files import read_npz
from evaluators._pairs import FilePairs, paired_files
from evaluators._parallel import Progress, gather
from evaluators._validation import Missing, OnInvalid, first_names
from evaluators.waymo.evaluator import WaymoEvaluator
from evaluators.waymo.objects import WaymoDetections, WaymoGroundTruth
from evaluators.waymo.result import WaymoResult


def read_ground_truth(path: str | Path) -> WaymoGroundTruth:
    """Return the labelled objects of one frame.

    The .npz holds boxes [n, 7], types [n], and difficulty [n], n_points [n] or both; see `WaymoGroundTruth`.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: A damaged file, or arrays missing, unknown or of the wrong kind. The message names the
            file.
    """
    arrays = _read(Path(path), required=("boxes", "types"), optional=("difficulty", "n_points"))
    return WaymoGroundTruth(**arrays)


def read_detections(path: str | Path) -> WaymoDetections:
    """Return the detections of one frame.

    The .npz holds boxes [n, 7], types [n], scores [n] and perhaps in_no_label_zone [n]; see
    `WaymoDetections`.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: As for `read_ground_truth`.
    """
    arrays = _read(Path(path), required=("boxes", "types", "scores"), optional=("in_no_label_zone",))
    return WaymoDetections(**arrays)


def evaluate_folders(
    gt_dir: str | Path,
    pred_dir: str | Path,
    *,
    frame_ids: Sequence[str] | None = None,
    missing: Missing = "error",
    on_invalid: OnInvalid = "error",
    processes: int = 1,
) -> WaymoResult:
    """Return the scores of the files in `pred_dir` against those in `gt_dir`; see `collect_folders`.

    Example:
        >>> evaluate_folders("labels", "results", missing="empty")  # doctest: +SKIP
    """
    evaluator = collect_folders(
        gt_dir, pred_dir, frame_ids=frame_ids, missing=missing, on_invalid=on_invalid, processes=processes
    )
    return evaluator.compute()


def collect_folders(
    gt_dir: str | Path,
    pred_dir: str | Path,
    *,
    frame_ids: Sequence[str] | None = None,
    missing: Missing = "error",
    on_invalid: OnInvalid = "error",
    processes: int = 1,
    progress: Progress = iter,
) -> WaymoEvaluator:
    """Return an evaluator that holds the frames of two folders, one `<frame>.npz` per frame in each.

    Args:
        frame_ids: The frames to evaluate; all of `gt_dir` if None.
        missing: What to do with frames that have no prediction file.
        processes: Processes that read and match.

    Raises:
        FileNotFoundError: A folder or a label file is not there; prediction files are missing.
        ValueError: Predictions for unknown frames; a frame listed twice; bad files.
    """
    pairs = paired_files(
        gt_dir,
        pred_dir,
        suffixes=(".npz",),
        names=frame_ids,
        missing=missing,
        kind="frames",
        nothing="write empty arrays where nothing was found, or pass missing='empty' (--missing empty)",
    )
    collect = functools.partial(_collect, pairs, on_invalid)
    return gather(pairs.names, collect, processes=processes, progress=progress)


def _collect(pairs: FilePairs, on_invalid: OnInvalid, names: Sequence[str]) -> WaymoEvaluator:
    evaluator = WaymoEvaluator(on_invalid=on_invalid)
    for name in names:
        pred_file = pairs.pred.get(name)
        det = None if pred_file is None else read_detections(pred_file)
        evaluator.update(name, read_ground_truth(pairs.gt[name]), det)
    return evaluator


_KINDS = {
    "boxes": ("f", 2, np.float64),
    "types": ("iu", 1, np.int64),
    "difficulty": ("iu", 1, np.int64),
    "n_points": ("iu", 1, np.int64),
    "scores": ("f", 1, np.float64),
    "in_no_label_zone": ("b", 1, np.bool_),
}
"""Kinds of numbers that are accepted, dimensions, and what they become."""


def _read(path: Path, *, required: tuple[str, ...], optional: tuple[str, ...]) -> dict[str, Any]:
    arrays: dict[str, Any] = dict(read_npz(path))
    lacking, unknown = set(required) - arrays.keys(), arrays.keys() - {*required, *optional}
    if lacking or unknown:
        raise ValueError(
            f"{path}: expected {', '.join(required)} and perhaps {', '.join(optional)};"
            f" missing: {first_names(lacking) or 'none'}; unknown: {first_names(unknown) or 'none'}"
        )
    for name, array in arrays.items():
        kinds, dimensions, kind = _KINDS[name]
        if array.dtype.kind not in kinds or array.ndim != dimensions:
            raise ValueError(f"{path}: {name} must be {np.dtype(kind).name} with {dimensions} dimensions")
        arrays[name] = array.astype(kind)
    if arrays["boxes"].shape[1] != 7:
        raise ValueError(f"{path}: boxes must be [n, 7], got {arrays['boxes'].shape}")
    return arrays
