"""What is known about a key frame before any sensor file is opened: files, calibrations, poses, times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from geom3d import transforms
from jaxtyping import Float64


@dataclass(frozen=True, slots=True, kw_only=True)
class Pose:
    """Where a frame lies in another, as the tables have it.

    Example:
        >>> Pose(translation=(1.0, 2.0, 3.0), rotation=(1.0, 0.0, 0.0, 0.0)).matrix[:3, 3].tolist()
        [1.0, 2.0, 3.0]
    """

    translation: tuple[float, float, float]
    """Metres."""
    rotation: tuple[float, float, float, float]
    """Quaternion w x y z; normalised when it is used."""

    @classmethod
    def of(cls, translation: Sequence[float], rotation: Sequence[float]) -> Pose:
        """Return the pose of three and four numbers."""
        (x, y, z), (qw, qx, qy, qz) = translation, rotation
        return cls(translation=(x, y, z), rotation=(qw, qx, qy, qz))

    @property
    def matrix(self) -> Float64[np.ndarray, "4 4"]:
        """The outer frame from the inner one.

        Raises:
            ValueError: The quaternion has length 0.
        """
        rotation = transforms.rotation_from_quaternion(np.array(self.rotation, np.float64))
        return transforms.from_parts(rotation, np.array(self.translation, np.float64))


@dataclass(frozen=True, slots=True, kw_only=True)
class SensorRecord:
    """One sensor file (`sample_data`), with the sensor's place on the car and the car's at that time."""

    channel: str
    """Such as CAM_FRONT, LIDAR_TOP, RADAR_FRONT."""
    filename: str
    """Relative to the root of the data set: `samples/CAM_FRONT/x.jpg`."""
    token: str
    """Of `sample_data`; empty where a published file does not say."""
    timestamp_us: int
    """Microseconds since 1970; 0 where a published file does not say."""
    calibration: Pose
    """The sensor in the ego frame (x forward, y left, z up, origin on the ground under the rear axle)."""
    ego_pose: Pose
    """The car in the global frame at `timestamp_us`: every sensor has its own."""
    intrinsic: tuple[tuple[float, float, float], ...] | None = None
    """3x3 camera matrix in pixels; None for other sensors."""
    size_wh: tuple[int, int] | None = None
    """Pixels of the picture; None for other sensors, and where a published file does not say."""

    def path(self, root: Path | str) -> Path:
        """Return the file under a root."""
        return Path(root) / self.filename

    @property
    def global_from_sensor(self) -> Float64[np.ndarray, "4 4"]:
        """The global frame from the sensor's."""
        return self.ego_pose.matrix @ self.calibration.matrix


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleRecord:
    """One key frame: for every channel the key-frame file, then earlier sweeps, newest first."""

    token: str
    scene_token: str
    scene_name: str
    timestamp_us: int
    sensors: Mapping[str, tuple[SensorRecord, ...]]
    """By channel; never an empty tuple."""

    def key(self, channel: str) -> SensorRecord:
        """Return the key-frame record of a channel.

        Raises:
            KeyError: The key frame has no such channel; names those it has.
        """
        if channel not in self.sensors:
            raise KeyError(f"sample {self.token} has no {channel}; it has {', '.join(sorted(self.sensors))}")
        return self.sensors[channel][0]


def b_from_a(b: SensorRecord, a: SensorRecord) -> Float64[np.ndarray, "4 4"]:
    """Return the frame of sensor b, at its time, from that of sensor a, at its time, by way of the world.

    What moves by itself between the two times is not accounted for; the car's own motion is.
    """
    return transforms.invert(b.global_from_sensor) @ a.global_from_sensor
