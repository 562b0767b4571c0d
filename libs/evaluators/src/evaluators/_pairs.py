"""Predictions and ground truth meet by frame name: which names and files belong together."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

from evaluators._validation import Missing, first_names, require_choice


def require_pairs(
    gt: AbstractSet[str],
    pred: AbstractSet[str],
    *,
    missing: Missing,
    kind: str,
    nothing: str,
    what: str = "predictions",
) -> None:
    """Refuse predictions without ground truth, and, unless `missing` is "empty", the reverse.

    Args:
        kind: What a frame is called, in the plural.
        nothing: The cure for a frame in which nothing was found.
        what: Where the predictions come from.

    Raises:
        ValueError: Names the frames.
    """
    require_choice(missing, Missing, name="missing")
    unknown = pred - gt
    if unknown:
        raise ValueError(
            f"{what} hold {len(unknown)} {kind} that the ground truth lacks: {first_names(unknown)};"
            " evaluate them against their own labels"
        )
    absent = gt - pred
    if absent and missing == "error":
        raise ValueError(
            f"{what} lack {len(absent)} of {len(gt)} {kind}: {first_names(absent)};"
            f" {nothing}, or pass missing='empty'"
        )


@dataclass(frozen=True, slots=True)
class FilePairs:
    """The files of the frames to evaluate."""

    names: list[str]
    """Sorted, at least one."""
    gt: Mapping[str, Path]
    pred: Mapping[str, Path]
    """Lacks the frames without a prediction file."""


def paired_files(
    gt_dir: str | Path,
    pred_dir: str | Path,
    *,
    suffixes: Sequence[str],
    names: Collection[str] | None,
    missing: Missing,
    kind: str,
    nothing: str,
) -> FilePairs:
    """Return the files `<name><suffix>` of two folders, paired by name; hidden files are left alone.

    Args:
        names: The frames to evaluate; all in `gt_dir` if None. Prediction files of other frames with ground
            truth are left alone; a prediction file without ground truth is always refused.
        kind: What a frame is called, in the plural.
        nothing: The cure for a frame in which nothing was found.

    Raises:
        FileNotFoundError: A folder or a ground truth file is not there; prediction files are missing (unless
            `missing` is "empty").
        ValueError: Predictions without ground truth; a name listed twice, or twice in a folder.
    """
    require_choice(missing, Missing, name="missing")
    gt, pred = (
        _named_files(Path(folder), suffixes, argument=argument, kind=kind)
        for argument, folder in (("gt_dir", gt_dir), ("pred_dir", pred_dir))
    )
    chosen = _chosen(gt, names, Path(gt_dir), suffixes, kind=kind)
    unknown = pred.keys() - gt.keys()
    if unknown:
        raise ValueError(
            f"{pred_dir} holds predictions for {len(unknown)} {kind} without ground truth in {gt_dir}:"
            f" {first_names(unknown)}; wrong folder, or left over from another run?"
        )
    absent = set(chosen) - pred.keys()
    if absent and missing == "error":
        raise FileNotFoundError(
            f"{pred_dir} lacks prediction files for {len(absent)} of {len(chosen)} {kind}:"
            f" {first_names(absent)}; {nothing}{_hint(Path(pred_dir), suffixes)}"
        )
    return FilePairs(chosen, gt, pred)


def _named_files(folder: Path, suffixes: Sequence[str], *, argument: str, kind: str) -> dict[str, Path]:
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{argument}: no folder {folder}; expected {kind} in it, one file each, {' or '.join(suffixes)}"
        )
    found: dict[str, Path] = {}
    for file in sorted(os.listdir(folder)):  # noqa: PTH208 - names, not Path objects
        suffix = next((suffix for suffix in suffixes if file.endswith(suffix)), None)
        if suffix is None or file.startswith("."):
            continue
        stem = file.removesuffix(suffix)
        if stem in found:
            raise ValueError(
                f"{folder} holds {stem} twice, as {found[stem].name} and as {file}; keep one of these {kind}"
            )
        found[stem] = folder / file
    return found


def _chosen(
    gt: Mapping[str, Path], names: Collection[str] | None, gt_dir: Path, suffixes: Sequence[str], *, kind: str
) -> list[str]:
    chosen = sorted(gt if names is None else names)
    if not chosen:
        raise FileNotFoundError(
            f"gt_dir: no {kind} to evaluate in {gt_dir}; expected files {' or '.join(suffixes)}"
            f"{_hint(gt_dir, suffixes)}"
        )
    twice = {name for name, count in Counter(chosen).items() if count > 1}
    if twice:
        raise ValueError(f"{len(twice)} {kind} are listed more than once: {first_names(twice)}")
    without = set(chosen) - gt.keys()
    if without:
        raise FileNotFoundError(
            f"{gt_dir} lacks ground truth files for {len(without)} of {len(chosen)} {kind}:"
            f" {first_names(without)}; wrong split file or wrong folder?"
        )
    return chosen


def _hint(folder: Path, suffixes: Sequence[str]) -> str:
    """Point to the sub-folder that holds the files, if this folder has none of its own."""
    if any(path.name.endswith(tuple(suffixes)) for path in folder.iterdir()):
        return ""
    inner = sorted(path.parent.name for suffix in suffixes for path in folder.glob(f"*/*{suffix}"))
    return f" (the sub-folder {inner[0]!r} holds such files: meant that one?)" if inner else ""
