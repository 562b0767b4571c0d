"""Calibration, poses and times of a sequence. Every error names the file, the line and the cure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from geom3d import transforms
from geom3d.text import read_text
from jaxtyping import Float64

_MAX_SKEW = 1e-2
"""Poses are written with six digits; a damaged number turns a rotation into something else by far more."""


def read_calibration(path: Path | str) -> Float64[np.ndarray, "4 4"]:
    """Read `calib.txt`: its line Tr, which maps the LiDAR to the camera of the poses (cam_from_lidar).

    Raises:
        FileNotFoundError: No such file.
        ValueError: No text, no line Tr, or no rigid transform of 12 numbers in it.
    """
    path = _existing(path, "it holds the line Tr that relates poses to the LiDAR")
    for at, line in enumerate(read_text(path).split("\n"), 1):
        key, colon, numbers = line.partition(":")
        if colon and key.strip() in ("Tr", "Tr_velo_to_cam", "Tr_velo_cam"):
            return _rigid(numbers, f"{path}, line {at}")
    raise ValueError(f"datasets3d.semantickitti: {path} has no line `Tr: ...` of 12 numbers; copy it again")


def read_poses(path: Path | str) -> Float64[np.ndarray, "m 4 4"]:
    """Read `poses.txt`: where the camera was at every scan of a sequence (world_from_cam), a line a scan.

    Raises:
        FileNotFoundError: No such file.
        ValueError: No text, or a line that is no rigid transform of 12 numbers.
    """
    path = _existing(path, "it holds a line of 12 numbers a scan")
    lines = read_text(path).rstrip().split("\n")
    if lines == [""]:
        return np.zeros((0, 4, 4))
    try:
        rows = np.array([line.split() for line in lines], np.float64)
        found = np.zeros((len(rows), 4, 4))
        found[:, :3] = rows.reshape(-1, 3, 4)
        found[:, 3, 3] = 1.0
        is_right = _is_rigid(found).all()
    except ValueError:
        is_right, found = False, np.zeros((0, 4, 4))
    if is_right:
        return found
    # One by one, to find the line.
    return np.stack([_rigid(line, f"{path}, line {at}") for at, line in enumerate(lines, 1)])


def lidar_poses(
    world_from_cam: Float64[np.ndarray, "m 4 4"], cam_from_lidar: Float64[np.ndarray, "4 4"]
) -> Float64[np.ndarray, "m 4 4"]:
    """Return world_from_lidar of every scan, where the world is the LiDAR frame of the camera's first pose.

    Source: the tools of the data set, Tr^-1 P Tr.
    """
    return transforms.invert(cam_from_lidar) @ world_from_cam @ cam_from_lidar


def read_times(path: Path | str) -> Float64[np.ndarray, " m"]:
    """Read `times.txt`: seconds since the start of the sequence, a line a scan.

    Raises:
        FileNotFoundError: No such file.
        ValueError: No text, a line that is no number, or times that do not increase.
    """
    path = _existing(path, "it holds the time of every scan in seconds")
    times: list[float] = []
    for at, line in enumerate(read_text(path).rstrip().split("\n"), 1):
        if not line.strip() and at == 1:
            break
        try:
            times.append(float(line))
        except ValueError:
            raise ValueError(
                f"datasets3d.semantickitti: {path}, line {at}: expected seconds, got {line[:60]!r}"
            ) from None
        if not np.isfinite(times[-1]) or (at > 1 and times[-1] <= times[-2]):
            raise ValueError(
                f"datasets3d.semantickitti: {path}, line {at}: times must increase, got {line[:60]!r}"
            )
    return np.array(times, np.float64)


def _existing(path: Path | str, what: str) -> Path:
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"datasets3d.semantickitti: no {path}; {what}, and is needed to put scans together: unpack "
            "data_odometry_calib.zip and data_odometry_labels.zip (poses) over the velodyne data"
        )
    return path


def _rigid(line: str, where: str) -> Float64[np.ndarray, "4 4"]:
    try:
        numbers = np.array(line.split(), np.float64)
    except ValueError:
        numbers = np.zeros(0)
    if len(numbers) != 12:
        raise ValueError(
            f"datasets3d.semantickitti: {where}: expected the 12 numbers of a 3x4 matrix, got {line[:60]!r}"
        )
    found = np.eye(4)
    found[:3] = numbers.reshape(3, 4)
    if not _is_rigid(found[None]).all():
        raise ValueError(
            f"datasets3d.semantickitti: {where}: the 3x4 matrix is no rotation with a translation, got "
            f"{line[:60]!r}"
        )
    return found


def _is_rigid(matrices: Float64[np.ndarray, "m 4 4"]) -> np.ndarray:
    turn = matrices[:, :3, :3]
    with np.errstate(invalid="ignore", over="ignore"):
        skew = np.abs(turn @ turn.transpose(0, 2, 1) - np.eye(3)).max(axis=(1, 2), initial=0.0)
        return np.isfinite(matrices).all(axis=(1, 2)) & (skew < _MAX_SKEW) & (np.linalg.det(turn) > 0)
