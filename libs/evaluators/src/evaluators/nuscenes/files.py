"""Evaluate a submission file against the tables of the data set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evaluators._validation import Missing, OnInvalid
from evaluators.nuscenes.evaluator import evaluate
from evaluators.nuscenes.protocol import DETECTION_CVPR_2019, NuscenesProtocol
from evaluators.nuscenes.result import NuscenesResult
from evaluators.nuscenes.submission import read_submission
from evaluators.nuscenes.tables import read_ground_truth


def evaluate_submission(
    gt_dir: str | Path,
    pred_file: str | Path,
    *,
    version: str = "v1.0-mini",
    split: str | Sequence[str] | None = None,
    protocol: NuscenesProtocol = DETECTION_CVPR_2019,
    missing: Missing = "error",
    on_invalid: OnInvalid = "error",
) -> NuscenesResult:
    """Return the scores of the submission `pred_file`, as the official kit computes them.

    `gt_dir` is the folder of the data set (`dataroot`); `split` names its samples, which are the frames.

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
    gt = read_ground_truth(gt_dir, version=version, split=split)
    invalid = "error" if on_invalid == "error" else "keep"
    found = read_submission(pred_file, protocol=protocol, invalid=invalid)
    return evaluate(gt, found.boxes, protocol=protocol, missing=missing, on_invalid=on_invalid)
