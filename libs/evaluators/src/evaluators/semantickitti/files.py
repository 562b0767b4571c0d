"""Label files and the folder tree of SemanticKITTI: `sequences/SS/{labels,predictions,velodyne}/FFFFFF.*`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Float32, UInt32

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
    return np.frombuffer(_read(Path(path), 4, "a uint32 per point"), dtype="<u4").astype(
        np.uint32, copy=False
    )


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
    content = _read(Path(path), 16, "four float32 per point")
    return np.frombuffer(content, dtype="<f4").astype(np.float32, copy=False).reshape(-1, 4)


def frame_path(root: str | Path, frame_id: str, kind: Kind) -> Path:
    """Return where the file of a frame "SS/FFFFFF" lies under the folder that holds `sequences`.

    Example:
        >>> frame_path("kitti", "08/000000", "labels").as_posix()
        'kitti/sequences/08/labels/000000.label'
    """
    sequence, scan = frame_id.split("/")
    return Path(root, "sequences", sequence, kind, scan + _suffix(kind))


def list_frames(root: str | Path, sequences: Sequence[str], kind: Kind) -> list[str]:
    """Return the frames "SS/FFFFFF" that have a file of that kind, sorted; sequences without any are fine.

    Raises:
        FileNotFoundError: `root` holds no folder `sequences`.
    """
    if not Path(root, "sequences").is_dir():
        raise FileNotFoundError(f"no folder sequences in {root}; expected sequences/08/{kind} under it")
    return [
        f"{sequence}/{path.stem}"
        for sequence in sorted(set(sequences))
        for path in sorted(Path(root, "sequences", sequence, kind).glob("*" + _suffix(kind)))
    ]


def pair_frames(
    gt_root: str | Path, pred_root: str | Path, sequences: Sequence[str], *, missing: Missing = "error"
) -> tuple[list[str], frozenset[str]]:
    """Return the labelled frames of `sequences`, sorted, and which of them have no prediction file.

    Pairs by name, so that a prediction never meets the labels of another scan.

    Raises:
        FileNotFoundError: A sequence without labels; missing predictions (unless `missing` is "empty").
        ValueError: Predictions for scans without labels.
    """
    require_choice(missing, Missing, name="missing")
    labelled = list_frames(gt_root, sequences, "labels")
    predicted = set(list_frames(pred_root, sequences, "predictions"))
    bare = set(sequences) - {frame.split("/")[0] for frame in labelled}
    if bare or not labelled:
        raise FileNotFoundError(
            f"{gt_root} has no labels for sequence {first_names(bare) or '(none given)'};"
            " expected sequences/SS/labels/FFFFFF.label under it"
        )
    unknown = predicted - set(labelled)
    if unknown:
        raise ValueError(
            f"{pred_root} holds predictions for {len(unknown)} scans without labels in {gt_root}:"
            f" {first_names(unknown)}; wrong folder, or left over from another run?"
        )
    absent = frozenset(labelled) - predicted
    if absent and missing == "error":
        raise FileNotFoundError(
            f"{pred_root} lacks predictions for {len(absent)} of {len(labelled)} scans:"
            f" {first_names(absent)}; expected sequences/SS/predictions/FFFFFF.label, or pass"
            " missing='empty' (--missing empty) to take them as unlabeled"
        )
    return labelled, absent


def _suffix(kind: Kind) -> str:
    return ".bin" if kind == "velodyne" else ".label"


def _read(path: Path, item: int, expected: str) -> bytes:
    content = path.read_bytes()
    if len(content) % item:
        raise ValueError(
            f"{path}: {len(content)} bytes are no multiple of {item}; expected {expected},"
            " is the file cut short or of another format?"
        )
    return content
