"""Evaluate two folders of text files, one file per frame."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

from evaluators._parallel import Progress, gather
from evaluators._validation import Missing, OnInvalid, first_names, require_choice
from evaluators.kitti.evaluator import AosMode, KittiEvaluator
from evaluators.kitti.files import NonFinite, decoded, read_detection_rows, read_label_rows
from evaluators.kitti.protocol import DIFFICULTIES, Difficulty, OverlapTable, Protocol
from evaluators.kitti.result import KittiResult


def evaluate_folders(  # noqa: PLR0913 - the options of collect_folders and of compute
    gt_dir: str | Path,
    pred_dir: str | Path,
    *,
    frame_ids: Sequence[str] | None = None,
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
        gt_dir, pred_dir, frame_ids=frame_ids, missing=missing, on_invalid=on_invalid, processes=processes
    )
    return evaluator.compute(protocol=protocol, overlaps=overlaps, difficulties=difficulties, aos=aos)


def collect_folders(
    gt_dir: str | Path,
    pred_dir: str | Path,
    *,
    frame_ids: Sequence[str] | None = None,
    missing: Missing = "error",
    on_invalid: OnInvalid = "error",
    processes: int = 1,
    progress: Progress = iter,
) -> KittiEvaluator:
    """Return an evaluator that holds the frames of two folders, ready to compute under several tables.

    Args:
        frame_ids: The frames to evaluate; all label files if None. Prediction files of other labelled frames
            are left alone; a prediction file without a label file is always refused.
        missing: What to do with frames that have no prediction file.
        processes: How many read files; more than one pays for slow disks and beyond some ten thousand frames.
        progress: Wraps the frame names while they are read, for example `tqdm.tqdm`.

    Raises:
        FileNotFoundError: A folder or a label file is not there; prediction files are missing.
        ValueError: Predictions for unknown frames; a frame listed twice; bad lines (see `read_labels`).
    """
    require_choice(missing, Missing, name="missing")
    require_choice(on_invalid, OnInvalid, name="on_invalid")
    labels, predictions = _frames(Path(gt_dir), "gt_dir"), _frames(Path(pred_dir), "pred_dir")
    chosen = _chosen(labels, frame_ids, Path(gt_dir))
    unknown = predictions - labels
    if unknown:
        raise ValueError(
            f"{pred_dir} holds predictions for {len(unknown)} frames without a label file in {gt_dir}:"
            f" {first_names(unknown)}; wrong folder, or left over from another run?"
        )
    absent = set(chosen) - predictions
    if absent and missing == "error":
        raise FileNotFoundError(
            f"{pred_dir} lacks prediction files for {len(absent)} of {len(chosen)} frames:"
            f" {first_names(absent)}; write an empty file where nothing was found, or pass missing='empty'"
            " (--missing empty)" + _hint(Path(pred_dir))
        )
    collect = functools.partial(_collect, Path(gt_dir), Path(pred_dir), absent, on_invalid)
    return gather(chosen, collect, processes=processes, progress=progress)


def _collect(
    gt_dir: Path, pred_dir: Path, absent: AbstractSet[str], on_invalid: OnInvalid, frame_ids: Sequence[str]
) -> KittiEvaluator:
    """Return an evaluator with some of the frames."""
    non_finite: NonFinite = "error" if on_invalid == "error" else "keep"
    files = [f"{frame_id}.txt" for frame_id in frame_ids]
    frames = {frame_id: frame_id in absent for frame_id in frame_ids}
    found = [
        None if is_absent else pred_dir / file for file, is_absent in zip(files, frames.values(), strict=True)
    ]
    evaluator = KittiEvaluator(on_invalid=on_invalid)
    evaluator.update_rows(
        frames,
        read_label_rows([gt_dir / file for file in files], non_finite),
        read_detection_rows(found, non_finite),
    )
    return evaluator


def read_frame_list(path: str | Path) -> list[str]:
    """Return the frame names in a split file, one per line; blank lines are skipped.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not text, or a line holds more than one word; names file and line.
    """
    names: list[str] = []
    for line, content in enumerate(decoded(Path(path), Path(path).read_bytes()).split("\n"), start=1):
        words = content.split()
        if len(words) > 1:
            raise ValueError(
                f"{path}, line {line}: expected one frame name, got {len(words)} words;"
                " keep the name of the label file without .txt"
            )
        names += words
    return names


def _frames(folder: Path, argument: str) -> set[str]:
    if not folder.is_dir():
        raise FileNotFoundError(f"{argument}: no folder {folder}; expected one text file per frame in it")
    return {path.stem for path in folder.glob("*.txt")}


def _chosen(labels: set[str], frame_ids: Sequence[str] | None, gt_dir: Path) -> list[str]:
    chosen = sorted(labels if frame_ids is None else frame_ids)
    if not chosen:
        raise FileNotFoundError(f"gt_dir: no frames to evaluate in {gt_dir}{_hint(gt_dir)}")
    if len(set(chosen)) != len(chosen):
        twice = {name for name, following in itertools.pairwise(chosen) if name == following}
        raise ValueError(f"frame_ids lists {len(twice)} frames more than once: {first_names(twice)}")
    unlabelled = set(chosen) - labels
    if unlabelled:
        raise FileNotFoundError(
            f"{gt_dir} lacks label files for {len(unlabelled)} of {len(chosen)} frames:"
            f" {first_names(unlabelled)}; wrong split file or wrong folder?"
        )
    return chosen


def _hint(folder: Path) -> str:
    """Point to the sub-folder that holds the text files, if this folder has none of its own."""
    if any(folder.glob("*.txt")):
        return ""
    inner = sorted(path.parent.name for path in folder.glob("*/000*.txt"))
    return f" (the sub-folder {inner[0]!r} holds text files: meant that one?)" if inner else ""
