"""Label files and the folder tree of SemanticKITTI: `sequences/SS/{labels,predictions,velodyne}/FFFFFF.*`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Float32, UInt8, UInt32

from evaluators._report import replacing
from evaluators._validation import Missing, first_names, require_choice

Kind: TypeAlias = Literal["labels", "predictions", "velodyne"]
"""The folder of a sequence."""


def read_label_file(path: str | Path) -> UInt32[np.ndarray, " n"]:
    """Return the labels of one scan: little-endian uint32 per point, raw id below, instance above 16 bits.

    An empty file is a scan without points.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The size is no multiple of 4 bytes.
    """
    return ScanReader().labels(path)


class ScanReader:
    """Reads scan after scan into the same memory: fresh memory costs more than the copying.

    What it returned is overwritten by its next call.
    """

    def __init__(self) -> None:
        self._memory = np.empty(0, dtype=np.uint8)

    def labels(self, path: str | Path) -> UInt32[np.ndarray, " n"]:
        """Return the labels of one scan, see `read_label_file`."""
        return self._read(path, 4, "a uint32 per point").view("<u4").astype(np.uint32, copy=False)

    def points(self, path: str | Path) -> Float32[np.ndarray, "n 4"]:
        """Return the points of one scan, see `read_points`."""
        values = self._read(path, 16, "four float32 per point").view("<f4").astype(np.float32, copy=False)
        return values.reshape(-1, 4)

    def _read(self, path: str | Path, item: int, expected: str) -> UInt8[np.ndarray, " b"]:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - half the time of Path.open
            size = os.fstat(file.fileno()).st_size
            if size % item:
                raise ValueError(
                    f"{path}: {size} bytes are no multiple of {item}; expected {expected},"
                    " is the file cut short or of another format?"
                )
            if size > len(self._memory):
                self._memory = np.empty(size, dtype=np.uint8)
            if file.readinto(self._memory[:size].data) != size:
                raise ValueError(f"{path}: the file became shorter while it was read; is it being written?")
        return self._memory[:size]


def write_label_file(path: str | Path, labels: UInt32[np.ndarray, " n"]) -> None:
    """Write the labels of one scan, whole or not at all; missing folders are made."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_bytes(labels.astype("<u4").tobytes())


def read_points(path: str | Path) -> Float32[np.ndarray, "n 4"]:
    """Return the points of one scan: x y z in metres, sensor frame, and remission, little-endian float32.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The size is no multiple of 16 bytes.
    """
    return ScanReader().points(path)


def frame_path(root: str | Path, frame_id: str, kind: Kind) -> Path:
    """Return where the file of a frame "SS/FFFFFF" lies under the folder that holds `sequences`.

    Example:
        >>> frame_path("kitti", "08/000000", "labels").as_posix()
        'kitti/sequences/08/labels/000000.label'
    """
    return Path(frame_file(root, frame_id, kind))


def frame_file(root: str | Path, frame_id: str, kind: Kind) -> str:
    """Return `frame_path` as text, which a loop over thousands of scans has sooner."""
    sequence, scan = frame_id.split("/")
    return f"{root}/sequences/{sequence}/{kind}/{scan}{_suffix(kind)}"


def list_frames(root: str | Path, sequences: Sequence[str], kind: Kind) -> list[str]:
    """Return the frames "SS/FFFFFF" that have a file of that kind, sorted; sequences without any are fine.

    Raises:
        FileNotFoundError: `root` holds no folder `sequences`.
    """
    if not Path(root, "sequences").is_dir():
        raise FileNotFoundError(f"no folder sequences in {root}; expected sequences/08/{kind} under it")
    suffix = _suffix(kind)
    frames: list[str] = []
    for sequence in sorted(set(sequences)):
        folder = Path(root, "sequences", sequence, kind)
        names = os.listdir(folder) if folder.is_dir() else []  # noqa: PTH208 - names, not Path objects
        frames += sorted(f"{sequence}/{name.removesuffix(suffix)}" for name in names if name.endswith(suffix))
    return frames


def pair_frames(
    gt_dir: str | Path, pred_dir: str | Path, sequences: Sequence[str], *, missing: Missing = "error"
) -> tuple[list[str], frozenset[str]]:
    """Return the labelled frames of `sequences`, sorted, and which of them have no prediction file.

    Pairs by name, so that a prediction never meets the labels of another scan.

    Raises:
        FileNotFoundError: A sequence without labels; missing predictions (unless `missing` is "empty").
        ValueError: Predictions for scans without labels.
    """
    require_choice(missing, Missing, name="missing")
    labelled = list_frames(gt_dir, sequences, "labels")
    predicted = set(list_frames(pred_dir, sequences, "predictions"))
    bare = set(sequences) - {frame.split("/")[0] for frame in labelled}
    if bare or not labelled:
        raise FileNotFoundError(
            f"{gt_dir} has no labels for sequence {first_names(bare) or '(none given)'};"
            " expected sequences/SS/labels/FFFFFF.label under it"
        )
    unknown = predicted - set(labelled)
    if unknown:
        raise ValueError(
            f"{pred_dir} holds predictions for {len(unknown)} frames without labels in {gt_dir}:"
            f" {first_names(unknown)}; wrong folder, or left over from another run?"
        )
    absent = frozenset(labelled) - predicted
    if absent and missing == "error":
        raise FileNotFoundError(
            f"{pred_dir} lacks predictions for {len(absent)} of {len(labelled)} frames:"
            f" {first_names(absent)}; expected sequences/SS/predictions/FFFFFF.label, or pass"
            " missing='empty' (--missing empty) to take them as unlabeled"
        )
    return labelled, absent


def _suffix(kind: Kind) -> str:
    return ".bin" if kind == "velodyne" else ".label"
