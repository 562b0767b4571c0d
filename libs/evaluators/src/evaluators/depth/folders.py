"""Evaluate two folders of depth maps, one file per image."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from evaluators._pairs import collect_pairs, paired_files
from evaluators._parallel import Progress
from evaluators._validation import OnInvalid
from evaluators.depth.evaluator import DepthEvaluator
from evaluators.depth.files import SUFFIXES, read_depth
from evaluators.depth.protocol import Fill
from evaluators.depth.result import DepthResult


def evaluate_folders(  # noqa: PLR0913 - the options of the evaluator and of collect_folders
    gt_dir: str | Path,
    pred_dir: str | Path,
    *,
    frames: Collection[str] | None = None,
    protocol: str = "kitti-devkit",
    caps_m: Sequence[float | int] | None = None,
    fill: Fill = "none",
    clamp_min_m: float | int | None = None,
    on_invalid: OnInvalid = "error",
    processes: int = 1,
) -> DepthResult:
    """Return the depth errors of the files in `pred_dir` against those in `gt_dir`.

    See `evaluate` for the options and `collect_folders` for the rules on files and the errors.

    Example:
        >>> evaluate_folders("groundtruth", "predictions", fill="kitti")  # doctest: +SKIP
    """
    like = DepthEvaluator(
        protocol=protocol, caps_m=caps_m, fill=fill, clamp_min_m=clamp_min_m, on_invalid=on_invalid
    )
    return collect_folders(gt_dir, pred_dir, like=like, frames=frames, processes=processes).compute()


def collect_folders(
    gt_dir: str | Path,
    pred_dir: str | Path,
    *,
    like: DepthEvaluator | None = None,
    frames: Collection[str] | None = None,
    processes: int = 1,
    progress: Progress = iter,
) -> DepthEvaluator:
    """Return an evaluator that holds the images of two folders.

    An image is a file `<name>.png`, `.npy` or `.npz` (see `read_depth`) in both folders; the suffixes may
    differ. A depth map cannot stand for "nothing found", so a missing prediction is always refused: name
    the frames to evaluate fewer.

    Args:
        like: An evaluator with the settings to use; it is left as it is. Default: the KITTI kit's.
        frames: The images to evaluate; all of `gt_dir` if None.
        processes: Processes that read and evaluate.

    Raises:
        FileNotFoundError: A folder or a file is not there.
        ValueError: Predictions for unknown images; two files of one name; an image listed twice; bad files.
    """
    nothing = "name the frames to evaluate with frames (--frames FILE) to evaluate fewer"
    pairs = paired_files(gt_dir, pred_dir, suffixes=SUFFIXES, frames=frames, missing="error", nothing=nothing)
    like = DepthEvaluator() if like is None else like
    return collect_pairs(like, pairs, read_depth, read_depth, processes=processes, progress=progress)
