"""SemanticKITTI (or any data in its layout) as labelled scans, straight from the official files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from geom3d import transforms
from jaxtyping import Float32, Float64, UInt32

from datasets3d import _point_files, _sources
from datasets3d._label_files import check_label_count, read_labels, split_labels
from datasets3d._point_files import InvalidPoints
from datasets3d.frame import POINT_COLUMNS
from datasets3d.segmentation.labels import LabelTable
from datasets3d.segmentation.scan import LabelledScan
from datasets3d.semantickitti._tree import SequenceTree, open_tree, require_labels
from datasets3d.semantickitti.files import label_path
from datasets3d.semantickitti.labels import SINGLE_SCAN
from datasets3d.semantickitti.poses import lidar_poses, read_calibration, read_poses, read_times

SWEEP_COLUMNS = (*POINT_COLUMNS, "time_lag_s")
"""Columns of accumulated scans; the lag is 0 for points of the newest scan, and positive for older ones."""


class SemanticKittiDataset:
    """Labelled scans of one split: `len(dataset)`, `dataset[i]`; nothing is read until a scan is asked for.

    A split consists of those of its sequences that the tree has; `sequences` names them. Labels of the test
    sequences (11 to 21) are never read: their scans have `classes` None. Poses and times are given where
    their files are; a tree without them reads as well, as long as scans are not accumulated.

    With `sweeps` above 1 a scan holds, behind its own points, those of the scans before it in the sequence,
    the nearest first, moved through the poses into its own LiDAR frame, with their labels; rows with a lag of
    0 are its own, in the order of its file. At the start of a sequence there are as many as there are, and
    none is repeated. The first scans of a sequence therefore are sparser.

    Args:
        root: Folder that holds sequences/.
        split: `train`, `val`, `trainval` or `test`; or the names of sequences, such as ("00", "05").
        table: What the raw ids are.
        sweeps: Scans put together, the newest included.
        invalid_points: Points with NaN or infinite numbers are an `error`, or are dropped with their labels
            (`drop`).

    Raises:
        FileNotFoundError: No SemanticKITTI tree, no such sequence, no scans, scans without labels; without
            poses, calibration or times where `sweeps` needs them.
        ValueError: Unknown split, an unfinished tree, `sweeps` below 1.
    """

    def __init__(
        self,
        root: Path | str,
        split: str | Sequence[str],
        *,
        table: LabelTable = SINGLE_SCAN,
        sweeps: int = 1,
        invalid_points: InvalidPoints = "error",
    ) -> None:
        if sweeps < 1:
            raise ValueError(f"SemanticKittiDataset: sweeps must be at least 1, got {sweeps}")
        self.root = Path(root)
        self.split = split if isinstance(split, str) else "+".join(split)
        self.table = table
        self.sweeps = sweeps
        self._invalid_points: InvalidPoints = invalid_points
        trees = open_tree(root, split)
        require_labels(trees)
        self._sequences = {tree.name: _Sequence(tree) for tree in trees}
        self.frame_ids: tuple[str, ...] = tuple(
            f"{name}/{number}" for name, sequence in self._sequences.items() for number in sequence.numbers
        )
        if sweeps > 1:
            for sequence in self._sequences.values():
                sequence.require_motion()

    @property
    def sequences(self) -> tuple[str, ...]:
        """Names of the sequences that are read, in order."""
        return tuple(self._sequences)

    @property
    def is_labelled(self) -> bool:
        """Whether all scans have labels: no sequence is one of the test sequences."""
        return all(sequence.tree.is_labelled for sequence in self._sequences.values())

    @property
    def point_columns(self) -> tuple[str, ...]:
        """Columns of the points of every scan."""
        return POINT_COLUMNS if self.sweeps == 1 else SWEEP_COLUMNS

    def __len__(self) -> int:
        """Count the scans."""
        return len(self.frame_ids)

    def __iter__(self) -> Iterator[LabelledScan]:
        """Read scan by scan."""
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> LabelledScan:
        """Read one scan.

        Raises:
            IndexError: No such index.
            FileNotFoundError: A file is missing.
            ValueError: A file is damaged, labels and points differ in number, or ids that the table does not
                know; names file and cure.
        """
        frame_id = self.frame_ids[index]
        sequence, number = self._sequence(frame_id)
        found = self._one_scan(sequence, number)
        if self.sweeps > 1:
            found = _joined([_with_lag(found, 0.0), *self._earlier(sequence, number)])
        return LabelledScan(
            frame_id=frame_id,
            points=found.points,
            point_columns=self.point_columns,
            classes=found.classes,
            instances=found.instances,
            world_from_lidar=sequence.pose(number) if sequence.has_poses else None,
            time_s=sequence.time(number) if sequence.has_times else None,
        )

    def points(self, frame_id: str) -> Float32[np.ndarray, "n 4"]:
        """Read the points of one scan file, all of them, as they stand there; see `read_scan`."""
        return read_scan(label_path(self.root, frame_id, kind="velodyne"))

    def raw_labels(self, frame_id: str) -> UInt32[np.ndarray, " n"] | None:
        """Read the labels of one scan file as they stand there; None for a test sequence.

        Raises:
            FileNotFoundError: No such file.
            ValueError: A damaged file.
        """
        sequence, _ = self._sequence(frame_id)
        return read_labels(label_path(self.root, frame_id)) if sequence.tree.is_labelled else None

    def digests(self) -> dict[str, str]:
        """Return hashes of every label file, by path below the root; none for test sequences.

        What is made from a split records them, and can tell whether they have changed since.
        """
        labelled = [f for f in self.frame_ids if self._sequence(f)[0].tree.is_labelled]
        return _sources.digests(self.root, (label_path(self.root, frame_id) for frame_id in labelled))

    def _sequence(self, frame_id: str) -> tuple[_Sequence, str]:
        name, _, number = frame_id.partition("/")
        return self._sequences[name], number

    def _one_scan(self, sequence: _Sequence, number: str) -> _Points:
        """Read the points and labels of one file, less the points that are to be dropped."""
        frame_id = f"{sequence.tree.name}/{number}"
        path, scan = label_path(self.root, frame_id), label_path(self.root, frame_id, kind="velodyne")
        points, raw = read_scan(scan), self.raw_labels(frame_id)
        if raw is not None:
            check_label_count(path, len(raw), scan, len(points))
        finite = np.isfinite(points).all(axis=1)
        if not finite.all():
            if self._invalid_points == "error":
                raise ValueError(
                    f"datasets3d.semantickitti: {scan} holds {int((~finite).sum())} of {len(points)} points "
                    "with NaN or infinite numbers; repair the file, or read with invalid_points='drop'"
                )
            points, raw = points[finite], None if raw is None else raw[finite]
        if raw is None:
            return _Points(points, None, None)
        return _Points(points, self.table.class_indices(raw, where=str(path)), split_labels(raw)[1])

    def _earlier(self, sequence: _Sequence, number: str) -> Iterator[_Points]:
        """Yield the scans before one, the nearest first, in its LiDAR frame and with their lags."""
        at = sequence.numbers.index(number)
        now_from_world = transforms.invert(sequence.pose(number))
        for other in reversed(sequence.numbers[max(0, at - self.sweeps + 1) : at]):
            part = self._one_scan(sequence, other)
            moved = _moved(part.points, now_from_world @ sequence.pose(other))
            lag_s = sequence.time(number) - sequence.time(other)
            yield _with_lag(replace(part, points=moved), lag_s)


def read_scan(path: Path | str) -> Float32[np.ndarray, "n 4"]:
    """Read a scan: x y z in metres (LiDAR frame) and intensity; an empty file is a scan of zero points.

    Numbers that are not finite are kept, so that rows stay with their labels.

    Raises:
        FileNotFoundError: No such file.
        ValueError: The file is of another kind, has other columns, or is damaged; says what it looks like.
    """
    return _point_files.read_points(path, POINT_COLUMNS)


@dataclass(frozen=True, slots=True)
class _Points:
    """Points of one file or more, with their labels if there are any."""

    points: np.ndarray
    classes: np.ndarray | None
    instances: np.ndarray | None


class _Sequence:
    """What is known of a sequence besides its scans; read once, when it is asked for."""

    def __init__(self, tree: SequenceTree) -> None:
        self.tree = tree
        self.numbers = tree.numbers("velodyne")
        self.has_poses = tree.path("poses.txt").is_file() and tree.path("calib.txt").is_file()
        self.has_times = tree.path("times.txt").is_file()

    @cached_property
    def _poses(self) -> Float64[np.ndarray, "m 4 4"]:
        cam_from_lidar = read_calibration(self.tree.path("calib.txt"))
        return lidar_poses(read_poses(self.tree.path("poses.txt")), cam_from_lidar)

    @cached_property
    def _times(self) -> Float64[np.ndarray, " m"]:
        return read_times(self.tree.path("times.txt"))

    def require_motion(self) -> None:
        """Raise if poses, calibration or times are missing, or damaged."""
        self.pose(self.numbers[-1])
        self.time(self.numbers[-1])

    def pose(self, number: str) -> Float64[np.ndarray, "4 4"]:
        """Return world_from_lidar of a scan."""
        self._check_line("poses.txt", len(self._poses), number)
        return self._poses[int(number)]

    def time(self, number: str) -> float:
        """Return the seconds of a scan."""
        self._check_line("times.txt", len(self._times), number)
        return float(self._times[int(number)])

    def _check_line(self, name: str, lines: int, number: str) -> None:
        if int(number) >= lines:
            raise ValueError(
                f"datasets3d.semantickitti: {self.tree.path(name)} has {lines} lines, none for scan {number} "
                f"(line {int(number) + 1}); copy it again"
            )


def _moved(points: np.ndarray, now_from_then: np.ndarray) -> np.ndarray:
    xyz = transforms.apply(now_from_then, points[:, :3].astype(np.float64))
    return np.column_stack([xyz.astype(np.float32), points[:, 3:]])


def _with_lag(part: _Points, lag_s: float) -> _Points:
    lag = np.full(len(part.points), lag_s, np.float32)
    return replace(part, points=np.column_stack([part.points, lag]))


def _joined(parts: list[_Points]) -> _Points:
    classes = [part.classes for part in parts if part.classes is not None]
    instances = [part.instances for part in parts if part.instances is not None]
    return _Points(
        np.concatenate([part.points for part in parts]),
        np.concatenate(classes) if classes else None,
        np.concatenate(instances) if instances else None,
    )
