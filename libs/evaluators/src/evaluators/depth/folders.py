"""Evaluate two folders of depth maps, one file per image."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

from evaluators._parallel import Progress, gather
from evaluators._validation import OnInvalid, first_names
from evaluators.depth.evaluator import DepthEvaluator
from evaluators.depth.files import SUFFIXES, read_depth
from evaluators.depth.protocol import Fill
from evaluators.depth.result import DepthResult


def evaluate_folders(
    gt_dir: str | Path,
    pred_dir: str | Path,
    *,
    image_ids: Sequence[str] | None = None,
    protocol: str = "kitti-devkit",
    caps_m: Sequence[float | int] | None = None,
    fill: Fill = "none",
    clamp_min_m: float | int | None = None,
    on_invalid: OnInvalid = "error",
) -> DepthResult:
    """Return the depth errors of the files in `pred_dir` against those in `gt_dir`.

    See `evaluate` for the options and `collect_folders` for the rules on files and the errors.

    Example:
        >>> evaluate_folders("groundtruth", "predictions", fill="kitti")  # doctest: +SKIP
    """
    empty = DepthEvaluator(
        protocol=protocol, caps_m=caps_m, fill=fill, clamp_min_m=clamp_min_m, on_invalid=on_invalid
    )
    return collect_folders(gt_dir, pred_dir, empty, image_ids=image_ids).compute()


def collect_folders(
    gt_dir: str | Path,
    pred_dir: str | Path,
    empty: DepthEvaluator,
    *,
    image_ids: Sequence[str] | None = None,
    processes: int = 1,
    progress: Progress = iter,
) -> DepthEvaluator:
    """Return an evaluator with the settings of `empty` that holds the images of two folders.

    An image is a file `<name>.png`, `.npy` or `.npz` (see `read_depth`) in both folders; the suffixes may
    differ. A depth map cannot stand for "nothing found", so a missing prediction is always refused: list the
    images to evaluate fewer.

    Args:
        image_ids: The images to evaluate; all of `gt_dir` if None.
        processes: Processes that read and evaluate.

    Raises:
        FileNotFoundError: A folder or a file is not there.
        ValueError: Predictions for unknown images; two files of one name; an image listed twice; bad files.
    """
    truths, guesses = _files(Path(gt_dir), "gt_dir"), _files(Path(pred_dir), "pred_dir")
    chosen = sorted(truths if image_ids is None else image_ids)
    if not chosen:
        raise FileNotFoundError(f"gt_dir: no depth maps ({', '.join(SUFFIXES)}) in {gt_dir}")
    if len(set(chosen)) != len(chosen):
        twice = {name for name in chosen if chosen.count(name) > 1}
        raise ValueError(f"image_ids lists images more than once: {first_names(twice)}")
    unknown = guesses.keys() - truths.keys()
    if unknown:
        raise ValueError(
            f"{pred_dir} holds predictions for {len(unknown)} images that {gt_dir} lacks:"
            f" {first_names(unknown)}; files pair by name, rename them or pick the right folder"
        )
    for folder, files, role in ((gt_dir, truths, "true depth"), (pred_dir, guesses, "predictions")):
        absent = set(chosen) - files.keys()
        if absent:
            raise FileNotFoundError(
                f"{folder} lacks {role} for {len(absent)} of {len(chosen)} images: {first_names(absent)};"
                " list the images to evaluate in a split file to evaluate fewer"
            )
    collect = functools.partial(_collect, empty, truths, guesses)
    return gather(chosen, collect, processes=processes, progress=progress)


def _collect(
    empty: DepthEvaluator, truths: Mapping[str, Path], guesses: Mapping[str, Path], names: Sequence[str]
) -> DepthEvaluator:
    evaluator = empty.like()
    for name in names:
        evaluator.update(name, read_depth(truths[name]), read_depth(guesses[name]))
    return evaluator


def _files(folder: Path, argument: str) -> dict[str, Path]:
    if not folder.is_dir():
        raise FileNotFoundError(f"{argument}: no folder {folder}; expected one depth map per image in it")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix in SUFFIXES:
            if path.stem in found:
                raise ValueError(f"{found[path.stem]} and {path.name} are the same image; keep one")
            found[path.stem] = path
    return found
