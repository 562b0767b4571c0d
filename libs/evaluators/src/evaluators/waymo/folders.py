"""Evaluate two folders of .npz files, one file per frame."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from evaluators._files import read_npz
from evaluators._pairs import collect_pairs, paired_files
from evaluators._parallel import Progress
from evaluators._validation import Missing, OnInvalid, first_names
from evaluators.waymo.evaluator import WaymoEvaluator
from evaluators.waymo.objects import WaymoGroundTruth, WaymoPredictions
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


def read_predictions(path: str | Path) -> WaymoPredictions:
    """Return the detections of one frame.

    The .npz holds boxes [n, 7], types [n], scores [n] and perhaps in_no_label_zone [n]; see
    `WaymoPredictions`.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: As for `read_ground_truth`.
    """
    arrays = _read(Path(path), required=("boxes", "types", "scores"), optional=("in_no_label_zone",))
    return WaymoPredictions(**arrays)


def evaluate_folders(
    gt_dir: str | Path,
    pred_dir: str | Path,
    *,
    frames: Collection[str] | None = None,
    missing: Missing = "error",
    on_invalid: OnInvalid = "error",
    processes: int = 1,
) -> WaymoResult:
    """Return the scores of the files in `pred_dir` against those in `gt_dir`; see `collect_folders`.

    Example:
        >>> evaluate_folders("labels", "results", missing="empty")  # doctest: +SKIP
    """
    like = WaymoEvaluator(on_invalid=on_invalid)
    return collect_folders(
        gt_dir, pred_dir, like=like, frames=frames, missing=missing, processes=processes
    ).compute()


def collect_folders(
    gt_dir: str | Path,
    pred_dir: str | Path,
    *,
    like: WaymoEvaluator | None = None,
    frames: Collection[str] | None = None,
    missing: Missing = "error",
    processes: int = 1,
    progress: Progress = iter,
) -> WaymoEvaluator:
    """Return an evaluator that holds the frames of two folders, one `<frame>.npz` per frame in each.

    Args:
        like: An evaluator with the settings to use; it is left as it is.
        frames: The frames to evaluate; all of `gt_dir` if None.
        missing: What to do with frames that have no prediction file.
        processes: Processes that read and match.

    Raises:
        FileNotFoundError: A folder or a label file is not there; prediction files are missing.
        ValueError: Predictions for unknown frames; a frame listed twice; bad files.
    """
    nothing = "write empty arrays where nothing was found, or pass missing='empty' (--missing empty)"
    pairs = paired_files(
        gt_dir, pred_dir, suffixes=(".npz",), frames=frames, missing=missing, nothing=nothing
    )
    like = WaymoEvaluator() if like is None else like
    return collect_pairs(
        like, pairs, read_ground_truth, read_predictions, processes=processes, progress=progress
    )


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
