"""A 3D recording of a frame for the rerun viewer (extra `viz`)."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from datasets3d.frame import Frame

from fusion3d_appkit.draw import FOUND, TRUTH, Colour


def require_recorder() -> None:
    """Refuse to begin a work that would end with a recording that cannot be written.

    Raises:
        ValueError: rerun-sdk is not installed; another distribution with a package `rerun` does not count.
    """
    try:
        importlib.metadata.version("rerun-sdk")
    except importlib.metadata.PackageNotFoundError:
        raise ValueError("recordings need rerun-sdk: pip install 'fusion3d-appkit[viz]'") from None


def record_frame(
    path: Path, frame: Frame, *, truth: np.ndarray, found: np.ndarray, labels: Sequence[str]
) -> None:
    """Write points, image and boxes [n, 7] (labels green, others red-orange) as .rrd; open no window.

    Raises:
        ValueError: See `require_recorder`.
    """
    require_recorder()
    import rerun  # pyright: ignore[reportMissingImports]  (extra)

    recording = rerun.RecordingStream("fusion3d")
    recording.save(str(path))
    recording.log("world", rerun.ViewCoordinates.RIGHT_HAND_Z_UP, static=True)
    recording.log("world/points", rerun.Points3D(frame.points[:, :3], radii=0.02))
    for name, image in frame.images.items():
        recording.log(name, rerun.Image(image).compress())
    recording.log("world/labels", _boxes(truth, TRUTH))
    recording.log("world/detections", _boxes(found, FOUND, labels))


def _boxes(boxes: np.ndarray, colour: Colour, labels: Sequence[str] | None = None):
    import rerun  # pyright: ignore[reportMissingImports]  (extra)

    half_yaw = boxes[:, 6] / 2
    zeros = np.zeros_like(half_yaw)
    return rerun.Boxes3D(
        centers=boxes[:, :3],
        half_sizes=boxes[:, 3:6] / 2,
        quaternions=np.stack([zeros, zeros, np.sin(half_yaw), np.cos(half_yaw)], axis=1),
        colors=[colour] * len(boxes),
        labels=labels,
    )
