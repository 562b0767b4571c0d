"""Evaluate folders of label files, in one process or several."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from jaxtyping import UInt32

from evaluators._pairs import paired_files
from evaluators._parallel import Progress, gather
from evaluators._validation import Missing
from evaluators.panoptic.evaluator import PanopticEvaluator
from evaluators.panoptic.files import SUFFIX, read_panoptic_npz
from evaluators.panoptic.protocol import Packing, PanopticProtocol, panoptic_protocol
from evaluators.panoptic.result import PanopticResult
from evaluators.semantickitti.files import frame_path, pair_frames, read_label_file
from evaluators.semantickitti.protocol import SPLITS, Unknown

_Read: TypeAlias = Callable[[str], UInt32[np.ndarray, " n"]]


def evaluate_folders(
    gt_root: str | Path,
    pred_root: str | Path,
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
    chosen = panoptic_protocol(protocol, min_points=min_points)
    evaluator = collect_folders(
        gt_root,
        pred_root,
        sequences=sequences,
        protocol=chosen,
        missing=missing,
        unknown=unknown,
        processes=processes,
    )
    return evaluator.compute()


def collect_folders(
    gt_root: str | Path,
    pred_root: str | Path,
    *,
    sequences: Sequence[str] = SPLITS["valid"],
    protocol: str | PanopticProtocol = "semantic-kitti-api",
    missing: Missing = "error",
    unknown: Unknown = "error",
    processes: int = 1,
    progress: Progress = iter,
) -> PanopticEvaluator:
    """Return an evaluator that holds the scans of two SemanticKITTI trees.

    Reads `sequences/SS/labels/FFFFFF.label` under `gt_root` and `sequences/SS/predictions/FFFFFF.label` under
    `pred_root`; files are paired by name.

    Raises:
        FileNotFoundError: A sequence has no labels; predictions are missing.
        ValueError: Predictions for unknown scans; files that do not fit (see `PanopticEvaluator.update`).
    """
    chosen = _with_packing(protocol, "low-16-bits", "collect_nuscenes_folders")
    frames, absent = pair_frames(gt_root, pred_root, sequences, missing=missing)
    collect = functools.partial(
        _collect,
        protocol=chosen,
        unknown=unknown,
        read_gt=functools.partial(_read_label, gt_root, "labels"),
        read_pred=functools.partial(_read_label, pred_root, "predictions"),
        absent=absent,
    )
    return gather(frames, collect, processes=processes, progress=progress)


def evaluate_nuscenes_folders(
    gt_dir: str | Path,
    pred_dir: str | Path,
    *,
    tokens: Collection[str] | None = None,
    min_points: int | None = None,
    missing: Missing = "error",
    unknown: Unknown = "error",
    processes: int = 1,
) -> PanopticResult:
    """Return the panoptic quality of a folder of nuScenes predictions. See `collect_nuscenes_folders`.

    Example:
        >>> evaluate_nuscenes_folders("panoptic/v1.0-mini", "results/panoptic/mini_val")  # doctest: +SKIP
    """
    chosen = panoptic_protocol("nuscenes-panoptic", min_points=min_points)
    evaluator = collect_nuscenes_folders(
        gt_dir,
        pred_dir,
        tokens=tokens,
        protocol=chosen,
        missing=missing,
        unknown=unknown,
        processes=processes,
    )
    return evaluator.compute()


def collect_nuscenes_folders(
    gt_dir: str | Path,
    pred_dir: str | Path,
    *,
    tokens: Collection[str] | None = None,
    protocol: str | PanopticProtocol = "nuscenes-panoptic",
    missing: Missing = "error",
    unknown: Unknown = "error",
    processes: int = 1,
    progress: Progress = iter,
) -> PanopticEvaluator:
    """Return an evaluator that holds the scans of two folders of `<token>_panoptic.npz` files.

    Args:
        tokens: LIDAR_TOP sample data tokens of the split (the official tool takes them from its database);
            all ground truth files if None.

    Raises:
        FileNotFoundError: A folder is not there; ground truth or predictions are missing.
        ValueError: Predictions for unknown scans; files that do not fit (see `PanopticEvaluator.update`).
    """
    chosen = _with_packing(protocol, "thousands", "collect_folders")
    pairs = paired_files(
        gt_dir,
        pred_dir,
        suffixes=(SUFFIX,),
        names=tokens,
        missing=missing,
        kind="scans",
        nothing="name the scans of the split with tokens (--tokens FILE), or pass missing='empty'"
        " (--missing empty) to take them as unlabeled",
    )
    collect = functools.partial(
        _collect,
        protocol=chosen,
        unknown=unknown,
        read_gt=functools.partial(_read_npz, pairs.gt),
        read_pred=functools.partial(_read_npz, pairs.pred),
        absent=frozenset(pairs.names).difference(pairs.pred),
    )
    return gather(pairs.names, collect, processes=processes, progress=progress)


def _with_packing(protocol: str | PanopticProtocol, packing: Packing, other: str) -> PanopticProtocol:
    chosen = panoptic_protocol(protocol)
    if chosen.packing != packing:
        raise ValueError(f"protocol {chosen.name!r} packs labels as {chosen.packing!r}; use {other}")
    return chosen


def _collect(
    frames: Sequence[str],
    *,
    protocol: PanopticProtocol,
    unknown: Unknown,
    read_gt: _Read,
    read_pred: _Read,
    absent: frozenset[str],
) -> PanopticEvaluator:
    evaluator = PanopticEvaluator(protocol=protocol, unknown=unknown)
    for frame in frames:
        evaluator.update(frame, read_gt(frame), None if frame in absent else read_pred(frame))
    return evaluator


def _read_label(root: str | Path, kind: str, frame: str) -> UInt32[np.ndarray, " n"]:
    return read_label_file(frame_path(root, frame, "labels" if kind == "labels" else "predictions"))


def _read_npz(files: Mapping[str, Path], token: str) -> UInt32[np.ndarray, " n"]:
    return read_panoptic_npz(files[token])
