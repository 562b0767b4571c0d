"""Evaluate two folders, one file per scene in each."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

from evaluators._parallel import Progress, gather
from evaluators._validation import Missing, OnInvalid, first_names, require_choice
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
    require_choice(missing, Missing, name="missing")
    gt_files, pred_files = _files(Path(gt_dir), "gt_dir"), _files(Path(pred_dir), "pred_dir")
    chosen = _chosen(gt_files, scenes, Path(gt_dir))
    unknown = pred_files.keys() - gt_files.keys()
    if unknown:
        raise ValueError(
            f"{pred_dir} holds predictions for {len(unknown)} scenes without ground truth in {gt_dir}:"
            f" {first_names(unknown)}; wrong folder, or left over from another run?"
        )
    absent = set(chosen) - pred_files.keys()
    if absent and missing == "error":
        raise FileNotFoundError(
            f"{pred_dir} lacks prediction files for {len(absent)} of {len(chosen)} scenes:"
            f" {first_names(absent)}; write empty arrays where nothing was found, or pass missing='empty'"
            " (--missing empty)"
        )
    collect = functools.partial(_collect, classes, protocol, on_invalid, gt_files, pred_files)
    return gather(chosen, collect, processes=processes, progress=progress)


def _collect(
    classes: str | ClassTable,
    protocol: Protocol,
    on_invalid: OnInvalid,
    gt_files: Mapping[str, Path],
    pred_files: Mapping[str, Path],
    scenes: Sequence[str],
) -> IndoorEvaluator:
    evaluator = IndoorEvaluator(classes=classes, protocol=protocol, on_invalid=on_invalid)
    for scene in scenes:
        pred_file = pred_files.get(scene)
        pred = None if pred_file is None else read_predictions(pred_file)
        evaluator.update(scene, read_ground_truth(gt_files[scene]), pred)
    return evaluator


def _files(folder: Path, argument: str) -> dict[str, Path]:
    """Return the scene files of a folder by scene name."""
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{argument}: no folder {folder}; expected one file per scene in it, {' or '.join(SUFFIXES)}"
        )
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix not in SUFFIXES or path.name.startswith("."):
            continue
        if path.stem in found:
            raise ValueError(f"{folder} holds scene {path.stem} twice, as .json and as .npz; remove one")
        found[path.stem] = path
    return found


def _chosen(gt_files: Mapping[str, Path], scenes: Sequence[str] | None, gt_dir: Path) -> list[str]:
    chosen = sorted(gt_files if scenes is None else scenes)
    if not chosen:
        raise FileNotFoundError(
            f"gt_dir: no scenes to evaluate in {gt_dir}; expected one file per scene, {' or '.join(SUFFIXES)}"
        )
    if len(set(chosen)) != len(chosen):
        twice = {name for name in chosen if chosen.count(name) > 1}
        raise ValueError(f"scenes lists {len(twice)} scenes more than once: {first_names(twice)}")
    without = set(chosen) - gt_files.keys()
    if without:
        raise FileNotFoundError(
            f"{gt_dir} lacks ground truth files for {len(without)} of {len(chosen)} scenes:"
            f" {first_names(without)}; wrong split file or wrong folder?"
        )
    return chosen
