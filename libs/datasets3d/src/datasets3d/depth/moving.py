"""Where annotated objects that move are at the time of a LiDAR file, for `write_dense_supervision`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from geom3d import boxes, transforms
from jaxtyping import Float64

from datasets3d.nuscenes import SampleRecord, SensorRecord
from datasets3d.nuscenes.tables import stream


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """One object through its scene, by key frame in the order of time. Global frame."""

    times_us: Float64[np.ndarray, " k"]
    boxes_global: Float64[np.ndarray, "k 7"]
    """x y z dx dy dz yaw: metres, radians; dx along the heading."""

    def moves(self, min_shift_m: float) -> bool:
        """Tell whether the object is ever farther than this from where it was first; seen once, it may be."""
        centres = self.boxes_global[:, :3]
        shift_m = np.linalg.norm(centres - centres[0], axis=1).max()
        return len(centres) == 1 or bool(shift_m > min_shift_m)

    def at(self, time_us: float, row: int) -> Float64[np.ndarray, " 7"]:
        """Return the box of a key frame with its centre at another time, between key frames on a line."""
        box = self.boxes_global[row].copy()
        box[:3] = [np.interp(time_us, self.times_us, self.boxes_global[:, axis]) for axis in range(3)]
        return box


@dataclass(frozen=True, slots=True, kw_only=True)
class MovingObjects:
    """The boxes of what moves: call it with a key frame and one of its LiDAR files."""

    of_sample: Mapping[str, Sequence[tuple[Track, int]]]
    """By token of the key frame: its moving objects, each with its row in the track."""

    def __call__(self, record: SampleRecord, lidar: SensorRecord) -> Float64[np.ndarray, "m 7"]:
        """Return the boxes in the LiDAR's frame at its time; none for a key frame that is not known."""
        found = self.of_sample.get(record.token, ())
        placed = [track.at(float(lidar.timestamp_us), row) for track, row in found]
        boxes_global = np.array(placed, np.float64).reshape(-1, 7)
        return boxes.transform(transforms.invert(lidar.global_from_sensor), boxes_global)


def read_moving_objects(
    root: Path | str,
    version: str,
    records: Sequence[SampleRecord],
    *,
    min_shift_m: float = 1.0,
    progress: bool = False,
) -> MovingObjects:
    """Read the annotations of these key frames and keep the objects that move.

    What moves anywhere in the scene counts as moving in all of it: a car that waits and then drives off would
    else leave a ghost where it stood.

    Args:
        root: Folder of the data set, as for `build_records`.
        version: Name of the folder with the tables.
        records: Whole scenes.
        min_shift_m: How far an object must get from where it was first; annotations tremble by some tenths
            of a metre. Our choice.

    Raises:
        FileNotFoundError: No table `sample_annotation`.
        ValueError: A damaged table, or a field that is missing.
    """
    times = {record.token: float(record.timestamp_us) for record in records}
    seen: dict[str, list[tuple[float, str, np.ndarray]]] = {}
    for row in stream(Path(root) / version, "sample_annotation", progress=progress):
        sample = row.text("sample_token")
        if sample in times:
            width, length, height = row.numbers("size", 3)
            pose = row.pose()
            rotation = transforms.rotation_from_quaternion(np.array(pose.rotation, np.float64))
            yaw_rad = np.arctan2(rotation[1, 0], rotation[0, 0])
            box = np.array([*pose.translation, length, width, height, yaw_rad])
            seen.setdefault(row.text("instance_token"), []).append((times[sample], sample, box))
    of_sample: dict[str, list[tuple[Track, int]]] = {}
    for entries in seen.values():
        entries.sort(key=lambda entry: entry[0])
        track = Track(
            times_us=np.array([time for time, _, _ in entries]),
            boxes_global=np.array([box for _, _, box in entries]),
        )
        if track.moves(min_shift_m):
            for index, (_, sample, _) in enumerate(entries):
                of_sample.setdefault(sample, []).append((track, index))
    return MovingObjects(of_sample=of_sample)
