"""Where the files of a frame of SemanticKITTI are."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["velodyne", "labels", "predictions"]
"""The folder of a sequence."""


def label_path(root: Path | str, frame_id: str, *, kind: Kind = "labels") -> Path:
    """Return where the file of a frame `SS/NNNNNN` belongs.

    Args:
        root: The folder that holds sequences/.
        frame_id: Sequence and number.
        kind: `labels`, `predictions` or `velodyne` (the scan).

    Raises:
        ValueError: The frame id has another form.

    Example:
        >>> label_path("kitti", "08/000123", kind="predictions").as_posix()
        'kitti/sequences/08/predictions/000123.label'
    """
    sequence, _, number = frame_id.partition("/")
    if not (sequence and number) or "/" in number:
        raise ValueError(
            f"datasets3d.semantickitti: expected a frame id such as '08/000123', got {frame_id!r}"
        )
    suffix = ".bin" if kind == "velodyne" else ".label"
    return Path(root) / "sequences" / sequence / kind / f"{number}{suffix}"
