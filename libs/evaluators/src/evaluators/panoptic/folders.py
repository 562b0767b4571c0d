"""Evaluate folders of label files, in one process or several."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from evaluators._pairs import FilePairs, collect_pairs, paired_files
from evaluators._parallel import Progress
from evaluators._validation import Missing
from evaluators.panoptic.evaluator import PanopticEvaluator
from evaluators.panoptic.files import SUFFIX, read_panoptic_npz
from evaluators.panoptic.protocol import Packing, PanopticProtocol
from evaluators.panoptic.result import PanopticResult
from evaluators.semantickitti.files import frame_path, pair_frames, read_label_file
from evaluators.semantickitti.protocol import SPLITS, Unknown


def evaluate_folders(
    gt_dir: str | Path,
    pred_dir: str | Path,
    *,
    sequences: Sequence[str] = SPLITS["valid"],
    protocol: str | PanopticProtocol = "semantic-kitti-api",
    min_points: int | None = None,
    missing: Missing = "error",
    unknown: Unknown = "error",
    processes: int = 1,
) -> PanopticResult:
    """Return the panoptic quality of a SemanticKITTI tree of predictions. See `collect_folders`.

    Example:
        >>> evaluate_folders("dataset", "results", sequences=["08"])  # doctest: +SKIP
    """
    like = PanopticEvaluator(protocol=protocol, min_points=min_points, unknown=unknown)
    return collect_folders(
        gt_dir, pred_dir, like=like, sequences=sequences, missing=missing, processes=processes
    ).compute()


def collect_folders(
    gt_dir: str | Path,
    pred_dir: str | Path,
    *,
    like: PanopticEvaluator | None = None,
    sequences: Sequence[str] = SPLITS["valid"],
    missing: Missing = "error",
    processes: int = 1,
    progress: Progress = iter,
) -> PanopticEvaluator:
    """Return an evaluator that holds the scans of two SemanticKITTI trees.

    Reads `sequences/SS/labels/FFFFFF.label` under `gt_dir` and `sequences/SS/predictions/FFFFFF.label` under
    `pred_dir`; files are paired by name.

    Args:
        like: An evaluator with the settings to use; it is left as it is. Default: the official script's.

    Raises:
        FileNotFoundError: A sequence has no labels; predictions are missing.
        ValueError: Predictions for unknown scans; files that do not fit (see `PanopticEvaluator.update`).
    """
    like = PanopticEvaluator() if like is None else like
    like = _with_packing(like, "low-16-bits", "collect_nuscenes_folders")
    frames, absent = pair_frames(gt_dir, pred_dir, sequences, missing=missing)
    pairs = FilePairs(
        frames=frames,
        gt={frame_id: frame_path(gt_dir, frame_id, "labels") for frame_id in frames},
        pred={
            frame_id: frame_path(pred_dir, frame_id, "predictions")
            for frame_id in frames
            if frame_id not in absent
        },
    )
    return collect_pairs(
        like, pairs, read_label_file, read_label_file, processes=processes, progress=progress
    )


def evaluate_nuscenes_folders(
    gt_dir: str | Path,
    pred_dir: str | Path,
    *,
    frames: Collection[str] | None = None,
    min_points: int | None = None,
    missing: Missing = "error",
    unknown: Unknown = "error",
    processes: int = 1,
) -> PanopticResult:
    """Return the panoptic quality of a folder of nuScenes predictions. See `collect_nuscenes_folders`.

    Example:
        >>> evaluate_nuscenes_folders("panoptic/v1.0-mini", "results/panoptic/mini_val")  # doctest: +SKIP
    """
    like = PanopticEvaluator(protocol="nuscenes-panoptic", min_points=min_points, unknown=unknown)
    return collect_nuscenes_folders(
        gt_dir, pred_dir, like=like, frames=frames, missing=missing, processes=processes
    ).compute()


def collect_nuscenes_folders(
    gt_dir: str | Path,
    pred_dir: str | Path,
    *,
    like: PanopticEvaluator | None = None,
    frames: Collection[str] | None = None,
    missing: Missing = "error",
    processes: int = 1,
    progress: Progress = iter,
) -> PanopticEvaluator:
    """Return an evaluator that holds the scans of two folders of `<token>_panoptic.npz` files.

    Args:
        like: An evaluator with the settings to use; it is left as it is. Default: "nuscenes-panoptic".
        frames: LIDAR_TOP sample data tokens of the split (the official tool takes them from its database);
            all ground truth files if None.

    Raises:
        FileNotFoundError: A folder is not there; ground truth or predictions are missing.
        ValueError: Predictions for unknown scans; files that do not fit (see `PanopticEvaluator.update`).
    """
    like = PanopticEvaluator(protocol="nuscenes-panoptic") if like is None else like
    like = _with_packing(like, "thousands", "collect_folders")
    nothing = (
        "name the frames of the split with frames (--frames FILE), or pass missing='empty'"
        " (--missing empty) to take them as unlabeled"
    )
    pairs = paired_files(
        gt_dir, pred_dir, suffixes=(SUFFIX,), frames=frames, missing=missing, nothing=nothing
    )
    return collect_pairs(
        like, pairs, read_panoptic_npz, read_panoptic_npz, processes=processes, progress=progress
    )


def _with_packing(like: PanopticEvaluator, packing: Packing, other: str) -> PanopticEvaluator:
    protocol = like.protocol
    if protocol.packing != packing:
        raise ValueError(f"protocol {protocol.name!r} packs labels as {protocol.packing!r}; use {other}")
    return like
