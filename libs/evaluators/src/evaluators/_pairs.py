"""Predictions and ground truth meet by frame name: which names and files belong together."""

from __future__ import annotations

import functools
import os
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from evaluators._parallel import Progress, gather
from evaluators._validation import Missing, first_names, require_choice
from evaluators.state import Evaluator

_U = TypeVar("_U", bound="Updated")


class Updated(Evaluator, Protocol):
    """An evaluator whose frames are ground truth and prediction alone."""

    def empty(self: _U) -> _U:
        """Return one with the same settings and no frames."""
        ...

    def update(self, frame_id: str, gt: Any, pred: Any) -> None:
        """Add one frame; `pred` None is a frame without predictions."""
        ...


def update_all(
    evaluator: Updated, gt: Mapping[str, Any], pred: Mapping[str, Any], *, missing: Missing, nothing: str
) -> None:
    """Add all frames of `gt` with their predictions; see `require_pairs` for the errors."""
    require_pairs(gt.keys(), pred.keys(), missing=missing, nothing=nothing)
    for frame_id, objects in gt.items():
        evaluator.update(frame_id, objects, pred.get(frame_id))


def require_pairs(
    gt: AbstractSet[str],
    pred: AbstractSet[str],
    *,
    missing: Missing,
    nothing: str,
    what: str = "predictions",
) -> None:
    """Refuse predictions without ground truth, and, unless `missing` is "empty", the reverse.

    Args:
        nothing: The cure for a frame in which nothing was found.
        what: Where the predictions come from.

    Raises:
        ValueError: Names the frames.
    """
    require_choice(missing, Missing, name="missing")
    unknown = pred - gt
    if unknown:
        raise ValueError(
            f"{what} hold {len(unknown)} frames that the ground truth lacks: {first_names(unknown)};"
            " evaluate them against their own labels"
        )
    absent = gt - pred
    if absent and missing == "error":
        raise ValueError(
            f"{what} lack {len(absent)} of {len(gt)} frames: {first_names(absent)};"
            f" {nothing}, or pass missing='empty'"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePairs:
    """The files of the frames to evaluate."""

    frames: list[str]
    """Sorted, at least one."""
    gt: Mapping[str, Path]
    pred: Mapping[str, Path]
    """Lacks the frames without a prediction file."""


def collect_pairs(
    like: _U,
    pairs: FilePairs,
    read_gt: Callable[[Path], object],
    read_pred: Callable[[Path], object],
    *,
    processes: int,
    progress: Progress,
) -> _U:
    """Return an evaluator with the settings of `like` that holds the frames, read file by file.

    The readers are pickled for several processes: give module-level functions.
    """
    collect = functools.partial(_collect, like.empty(), pairs, read_gt, read_pred)
    return gather(pairs.frames, collect, processes=processes, progress=progress)


def _collect(
    like: _U,
    pairs: FilePairs,
    read_gt: Callable[[Path], object],
    read_pred: Callable[[Path], object],
    frames: Sequence[str],
) -> _U:
    evaluator = like.empty()
    for frame_id in frames:
        pred_file = pairs.pred.get(frame_id)
        pred = None if pred_file is None else read_pred(pred_file)
        evaluator.update(frame_id, read_gt(pairs.gt[frame_id]), pred)
    return evaluator


def paired_files(
    gt_dir: str | Path,
    pred_dir: str | Path,
    *,
    suffixes: Sequence[str],
    frames: Collection[str] | None,
    missing: Missing,
    nothing: str,
) -> FilePairs:
    """Return the files `<frame><suffix>` of two folders, paired by name; hidden files are left alone.

    Args:
        frames: The frames to evaluate; all in `gt_dir` if None. Prediction files of other frames with ground
            truth are left alone; a prediction file without ground truth is always refused.
        nothing: The cure for a frame in which nothing was found.

    Raises:
        FileNotFoundError: A folder or a ground truth file is not there; prediction files are missing (unless
            `missing` is "empty").
        ValueError: Predictions without ground truth; a frame listed twice, or twice in a folder.
    """
    require_choice(missing, Missing, name="missing")
    gt = _named_files(Path(gt_dir), suffixes, argument="gt_dir")
    pred = _named_files(Path(pred_dir), suffixes, argument="pred_dir")
    chosen = _chosen(gt, frames, Path(gt_dir), suffixes)
    unknown = pred.keys() - gt.keys()
    if unknown:
        raise ValueError(
            f"{pred_dir} holds predictions for {len(unknown)} frames without ground truth in {gt_dir}:"
            f" {first_names(unknown)}; wrong folder, or left over from another run?"
        )
    absent = set(chosen) - pred.keys()
    if absent and missing == "error":
        raise FileNotFoundError(
            f"{pred_dir} lacks prediction files for {len(absent)} of {len(chosen)} frames:"
            f" {first_names(absent)}; {nothing}{_hint(Path(pred_dir), suffixes)}"
        )
    return FilePairs(frames=chosen, gt=gt, pred=pred)


def _named_files(folder: Path, suffixes: Sequence[str], *, argument: str) -> dict[str, Path]:
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{argument}: no folder {folder}; expected frames in it, one file each, {' or '.join(suffixes)}"
        )
    found: dict[str, Path] = {}
    for file in sorted(os.listdir(folder)):  # noqa: PTH208 - names, not Path objects
        suffix = next((suffix for suffix in suffixes if file.endswith(suffix)), None)
        if suffix is None or file.startswith("."):
            continue
        stem = file.removesuffix(suffix)
        if stem in found:
            raise ValueError(
                f"{folder} holds {stem} twice, as {found[stem].name} and as {file}; keep one of these files"
            )
        found[stem] = folder / file
    return found


def _chosen(
    gt: Mapping[str, Path], frames: Collection[str] | None, gt_dir: Path, suffixes: Sequence[str]
) -> list[str]:
    chosen = sorted(gt if frames is None else frames)
    if not chosen:
        raise FileNotFoundError(
            f"gt_dir: no frames to evaluate in {gt_dir}; expected files {' or '.join(suffixes)}"
            f"{_hint(gt_dir, suffixes)}"
        )
    twice = {name for name, count in Counter(chosen).items() if count > 1}
    if twice:
        raise ValueError(f"{len(twice)} frames are listed more than once: {first_names(twice)}")
    without = set(chosen) - gt.keys()
    if without:
        raise FileNotFoundError(
            f"{gt_dir} lacks ground truth files for {len(without)} of {len(chosen)} frames:"
            f" {first_names(without)}; wrong list of frames or wrong folder?"
        )
    return chosen


def _hint(folder: Path, suffixes: Sequence[str]) -> str:
    """Point to the sub-folder that holds the files, if this folder has none of its own."""
    if any(path.name.endswith(tuple(suffixes)) for path in folder.iterdir()):
        return ""
    inner = sorted(path.parent.name for suffix in suffixes for path in folder.glob(f"*/*{suffix}"))
    return f" (the sub-folder {inner[0]!r} holds such files: meant that one?)" if inner else ""
