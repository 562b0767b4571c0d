"""What is off in a data set laid out as SemanticKITTI's: `python -m datasets3d check ROOT`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from tqdm import tqdm

from datasets3d._atomic import refuse_incomplete
from datasets3d._label_files import check_label_count, read_labels
from datasets3d.check.semantickitti_report import SemanticKittiCheckReport, SequenceCheck
from datasets3d.segmentation.instances import InstanceStore
from datasets3d.segmentation.labels import LabelTable
from datasets3d.segmentation.plausibility import find_mistakes
from datasets3d.semantickitti._tree import SequenceTree, list_sequences, missing_labels, open_tree
from datasets3d.semantickitti.dataset import read_scan
from datasets3d.semantickitti.files import label_path
from datasets3d.semantickitti.labels import SINGLE_SCAN
from datasets3d.semantickitti.poses import read_calibration, read_poses, read_times

_T = TypeVar("_T")
_SHOWN = 5
"""Damaged files named one by one, a sequence."""
_LOOKED_AT = 50
"""Scans of a sequence whose coordinates are looked at."""
_MOTION = ("poses.txt", "calib.txt", "times.txt")


def is_semantickitti(root: Path | str) -> bool:
    """Return whether a folder is laid out as SemanticKITTI.

    Example:
        >>> is_semantickitti("nowhere")
        False
    """
    return (Path(root) / "sequences").is_dir()


def check_semantickitti(
    root: Path | str,
    *,
    split: str | None = None,
    table: LabelTable = SINGLE_SCAN,
    progress: bool = False,
) -> SemanticKittiCheckReport:
    """Read every file of a split (None: of all sequences) and measure what ought to fit together.

    Missing and damaged files end up in the report, they raise nothing: whatever `SemanticKittiDataset`
    refuses is named. Some 10 ms a scan.

    Args:
        root: The folder with sequences/.
        split: As for `SemanticKittiDataset`.
        table: What the raw ids are.
        progress: Show a bar.

    Raises:
        FileNotFoundError: No SemanticKITTI tree, or no sequence of the split.
        ValueError: Unknown split, or an unfinished tree.
    """
    root = Path(root)
    refuse_incomplete(root)
    names = list_sequences(root)
    if split is not None:
        names = tuple(tree.name for tree in open_tree(root, split))
    if not names:
        raise FileNotFoundError(f"datasets3d.semantickitti: no sequences in {root / 'sequences'}")
    problems: list[str] = []
    for path in sorted(root.glob("fusion3d_semantickitti_*.npz")):
        _attempt(lambda path=path: InstanceStore.load(path, root=root), problems)
    return SemanticKittiCheckReport(
        root=str(root),
        sequences=tuple(_check_sequence(SequenceTree(root, name), table, progress) for name in names),
        table_of_labels=table,
        tree_problems=tuple(problems),
    )


def _check_sequence(tree: SequenceTree, table: LabelTable, progress: bool) -> SequenceCheck:
    numbers = tree.numbers("velodyne")
    found = SequenceCheck(
        sequence=tree.name,
        labelled=tree.is_labelled,
        scans=len(numbers),
        label_files=len(tree.numbers("labels")),
        strays=tree.strays("velodyne"),
        absent_motion=tuple(name for name in _MOTION if not tree.path(name).is_file()),
    )
    if not numbers:
        found.problems.append(f"datasets3d.semantickitti: no scans in {tree.folder / 'velodyne'}")
        return found
    found.gaps = int(numbers[-1]) - int(numbers[0]) + 1 - len(numbers)
    found.without_scan = len(set(tree.numbers("labels")) - set(numbers)) if tree.is_labelled else 0
    _check_motion(tree, numbers, found)
    lacking = missing_labels(tree) if tree.is_labelled else []
    if lacking:
        found.problems.append(
            f"datasets3d.semantickitti: no {lacking[0]} ({len(lacking)} label files missing); unpack "
            "data_odometry_labels.zip over the velodyne data"
        )
    every = max(1, len(numbers) // _LOOKED_AT)
    counts = np.zeros(1 << 16, np.int64)
    damaged: list[str] = []
    for at, number in enumerate(tqdm(numbers, desc=tree.name, unit="scan", disable=not progress)):
        points = _check_scan(tree, number, counts, damaged)
        if points is not None:
            found.points += len(points)
            found.empty_scans += not len(points)
            if at % every == 0:
                _look(points, found)
    found.problems += damaged[:_SHOWN]
    if len(damaged) > _SHOWN:
        found.problems.append(f"sequence {tree.name}: {len(damaged) - _SHOWN} more files are damaged")
    found.raw_counts = {int(raw): int(counts[raw]) for raw in np.flatnonzero(counts)}
    return found


def _check_scan(
    tree: SequenceTree, number: str, counts: np.ndarray, problems: list[str]
) -> np.ndarray | None:
    frame_id = f"{tree.name}/{number}"
    path, scan = label_path(tree.root, frame_id), label_path(tree.root, frame_id, kind="velodyne")
    points = _attempt(lambda: read_scan(scan), problems)
    if points is not None and not np.isfinite(points).all():
        wrong = int((~np.isfinite(points).all(axis=1)).sum())
        problems.append(
            f"datasets3d.semantickitti: {scan} holds {wrong} of {len(points)} points with NaN or infinite "
            "numbers; repair the file, or read with invalid_points='drop'"
        )
    if tree.is_labelled and path.exists():
        raw = _attempt(lambda: read_labels(path), problems)
        if raw is not None:
            counts += np.bincount(raw & 0xFFFF, minlength=1 << 16)
            if points is not None:
                _attempt(lambda: check_label_count(path, len(raw), scan, len(points)), problems)
    return points


def _look(points: np.ndarray, found: SequenceCheck) -> None:
    found.looked_at += 1
    for mistake in find_mistakes(points):
        found.mistakes[mistake.kind] = found.mistakes.get(mistake.kind, 0) + 1
        found.examples.setdefault(mistake.kind, mistake.text)


def _check_motion(tree: SequenceTree, numbers: tuple[str, ...], found: SequenceCheck) -> None:
    for name, count_lines in (("poses.txt", _count_poses), ("times.txt", _count_times)):
        path = tree.path(name)
        count = None if name in found.absent_motion else _attempt(partial(count_lines, path), found.problems)
        if count is not None and int(numbers[-1]) >= count:
            found.problems.append(
                f"datasets3d.semantickitti: {path} has {count} lines, none for scan {numbers[-1]} "
                f"(line {int(numbers[-1]) + 1}); copy it again"
            )
    if "calib.txt" not in found.absent_motion:
        _attempt(lambda: read_calibration(tree.path("calib.txt")), found.problems)


def _count_poses(path: Path) -> int:
    return len(read_poses(path))


def _count_times(path: Path) -> int:
    return len(read_times(path))


def _attempt(read: Callable[[], _T], problems: list[str]) -> _T | None:
    try:
        return read()
    except (OSError, ValueError) as error:
        problems.append(str(error).splitlines()[0])
        return None
