"""Evaluate a submission file against the tables of the data set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evaluators._validation import Missing, OnInvalid
from evaluators.nuscenes.evaluator import evaluate
from evaluators.nuscenes.protocol import DETECTION_CVPR_2019, NuscenesConfig
from evaluators.nuscenes.result import NuscenesResult
from evaluators.nuscenes.submission import read_submission
from evaluators.nuscenes.tables import read_ground_truth


def evaluate_submission(
    dataroot: str | Path,
    submission: str | Path,
    *,
    version: str = "v1.0-mini",
    split: str | Sequence[str] | None = None,
    config: NuscenesConfig = DETECTION_CVPR_2019,
    missing: Missing = "error",
    on_invalid: OnInvalid = "error",
) -> NuscenesResult:
    """Return the scores of a submission file, as the official kit computes them.

    See `evaluate` for the protocol and the policies, `read_ground_truth` and `read_submission` for the files
    and their errors. Samples of the file must be those of the split; `missing="empty"` lets it lack some.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: A file is broken, or what `evaluate` refuses.

    Example:
        >>> evaluate_submission(
        ...     "/data/nuscenes", "results_nusc.json", version="v1.0-trainval", split="val"
        ... )  # doctest: +SKIP
    """
    gt = read_ground_truth(dataroot, version=version, split=split)
    found = read_submission(submission, config=config, invalid="error" if on_invalid == "error" else "keep")
    return evaluate(gt, found.boxes, config=config, missing=missing, on_invalid=on_invalid)
