"""Write predictions of the test sequences, pack them, and check the archive as the server will."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Integer

from evaluators._report import replacing
from evaluators._validation import first_names
from evaluators.semantickitti.files import frame_path, list_frames, write_label_file
from evaluators.semantickitti.protocol import SPLITS, TEST_SCANS, LabelMap, label_map

MAX_POINTS = 1 << 18
"""No scan of a 64-beam sensor at ten turns per second comes near; a larger entry is not read."""
_SHOWN = 5


def write_prediction(
    root: str | Path,
    frame_id: str,
    train_ids: Integer[np.ndarray, " n"],
    *,
    task: str | LabelMap = "single-scan",
) -> Path:
    """Write the classes of one scan as raw ids to `sequences/SS/predictions/FFFFFF.label`; return the path.

    The file is complete or absent; missing folders are made.

    Raises:
        ValueError: A number that is no train id of the task.
    """
    path = frame_path(root, frame_id, "predictions")
    write_label_file(path, label_map(task).raw_ids(train_ids))
    return path


def expected_scans(dataset: str | Path | None = None) -> dict[str, int | None]:
    """Return the scans "SS/FFFFFF" of the test sequences, with their numbers of points if they are known.

    Args:
        dataset: Holds sequences/11..21/velodyne. Without it, the published numbers of scans are taken, and
            nothing is known about points.

    Raises:
        FileNotFoundError: A test sequence has no scans in `dataset`.
        ValueError: A point file whose size is no multiple of 16 bytes.
    """
    if dataset is None:
        return {f"{seq}/{scan:06d}": None for seq, count in TEST_SCANS.items() for scan in range(count)}
    scans: dict[str, int | None] = {}
    for frame_id in list_frames(dataset, SPLITS["test"], "velodyne"):
        path = frame_path(dataset, frame_id, "velodyne")
        size = path.stat().st_size
        if size % 16:
            raise ValueError(f"{path}: {size} bytes are no multiple of 16; expected four float32 per point")
        scans[frame_id] = size // 16
    bare = set(SPLITS["test"]) - {frame_id.split("/")[0] for frame_id in scans}
    if bare:
        raise FileNotFoundError(
            f"{dataset} has no scans for sequence {first_names(bare, limit=11)};"
            " expected sequences/11..21/velodyne/FFFFFF.bin under it"
        )
    return scans


def zip_submission(pred_dir: str | Path, zip_path: str | Path) -> int:
    """Pack the test predictions under `pred_dir`, and description.txt if it is there; return their number.

    The archive has the folder entries that the official validator insists on. It is complete or absent, and
    the same predictions give the same bytes. Check it with `check_submission`.

    Raises:
        FileNotFoundError: No test predictions there, or no folder for the archive.
        ValueError: The name of the archive does not end in .zip.
    """
    if Path(zip_path).suffix != ".zip":
        raise ValueError(f"the server wants a name that ends in .zip, got {Path(zip_path).name}")
    frames = list_frames(pred_dir, SPLITS["test"], "predictions")
    if not frames:
        raise FileNotFoundError(f"{pred_dir} holds no sequences/11..21/predictions/FFFFFF.label")
    with replacing(zip_path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name in required_folders():
            archive.writestr(_entry(name), b"")
        description = Path(pred_dir, "description.txt")
        if description.is_file():
            archive.writestr(_entry(description.name), description.read_bytes())
        for frame_id in frames:
            path = frame_path(pred_dir, frame_id, "predictions")
            archive.writestr(
                _entry(path.relative_to(pred_dir).as_posix()), path.read_bytes(), compresslevel=1
            )
    return len(frames)


def required_folders() -> list[str]:
    """Return the folder entries that the official validator looks for."""
    inner = [
        name for seq in SPLITS["test"] for name in (f"sequences/{seq}/", f"sequences/{seq}/predictions/")
    ]
    return ["sequences/", *inner]


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    folder = name.endswith("/")
    entry.compress_type = zipfile.ZIP_STORED if folder else zipfile.ZIP_DEFLATED
    # File type and permissions as Unix has them, in the upper half.
    entry.external_attr = (0o40755 if folder else 0o100644) << 16
    return entry


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionReport:
    """What is wrong with a submission, problem by problem, with the entries that have it."""

    n_expected: int
    """Scans of the test sequences."""
    n_checked: int
    """Scans whose labels were read."""
    points_known: bool
    """Numbers of points were compared with the data set."""
    problems: Mapping[str, tuple[str, ...]]
    """What the server refuses, or scores as nobody would want."""
    remarks: Mapping[str, tuple[str, ...]]
    """What the server does not mind."""

    @property
    def ok(self) -> bool:
        """Nothing speaks against handing it in."""
        return not self.problems

    def table(self) -> str:
        """Return the report as text."""
        said = "ready to hand in" if self.ok else "not ready to hand in"
        lines = [
            f"SemanticKITTI submission: {said}; labels of {self.n_checked} of {self.n_expected} scans read"
        ]
        for kind, found in (("problem", self.problems), ("remark", self.remarks)):
            for what, entries in found.items():
                rest = f" and {len(entries) - _SHOWN} more" if len(entries) > _SHOWN else ""
                lines.append(f"{kind}: {what}: {', '.join(entries[:_SHOWN])}{rest}")
        if not self.points_known:
            lines.append(
                "remark: numbers of points were not compared; give the data set (--dataset) for that"
            )
        return "\n".join(lines)
