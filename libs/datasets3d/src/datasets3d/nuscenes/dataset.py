"""nuScenes as typed frames, straight from the official files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from geom3d import boxes, transforms
from geom3d.cameras import PinholeCamera
from jaxtyping import Float32

from datasets3d._files import read_image, read_image_size
from datasets3d.frame import Frame, Objects
from datasets3d.nuscenes.annotations import Annotations, read_annotations
from datasets3d.nuscenes.channels import CAMERAS, LIDAR, RADARS
from datasets3d.nuscenes.key_frames import read_key_frames
from datasets3d.nuscenes.lidar import read_lidar
from datasets3d.nuscenes.radar import RADAR_FIELDS, filter_states, read_radar
from datasets3d.nuscenes.records.from_tables import build_records
from datasets3d.nuscenes.records.record import SampleRecord, SensorRecord, b_from_a

_VELOCITIES = (("vx", "vy"), ("vx_comp", "vy_comp"))


class NuscenesDataset:
    """Key frames of a split: `len(dataset)`, `dataset[i]`; sensor files are opened when a frame is asked for.

    Everything is in the LiDAR frame at the time of the sweep (x right, y forward, z up). Each camera takes
    the car's motion between the sweep and its picture into account. Boxes are upright and named by their full
    category; `num_points` counts the points of the sweep in them. Without labels (test) `objects` is None.
    There is no column for velocities.

    `radar` has the columns of `RADAR_FIELDS`, the returns of all chosen radars that pass the official state
    filter, in that order: x y z and both velocities are turned into the LiDAR frame, the rest is as in the
    file. Velocities stay relative to what the file says they are relative to.

    A frame with six pictures takes a tenth of a second, most of it for the JPEGs: name fewer `cameras` to
    read fewer.

    Args:
        root: Folder with `samples/` and the version folder.
        version: Name of the folder with the tables.
        split: As for `build_records`.
        cameras: Channels whose pictures are read.
        radars: Channels whose returns are read.
        progress: Show bars for the large tables.

    Raises:
        FileNotFoundError: A table is missing.
        ValueError: As for `build_records` and `read_annotations`, or a camera that is none.
    """

    def __init__(
        self,
        root: Path | str,
        version: str,
        split: str | Sequence[str] | None = None,
        *,
        cameras: Sequence[str] = CAMERAS,
        radars: Sequence[str] = RADARS,
        progress: bool = False,
    ) -> None:
        self.root, self.version = Path(root), version
        self.cameras, self.radars = tuple(cameras), tuple(radars)
        channels = (LIDAR, *self.cameras, *self.radars)
        self.records = build_records(
            root, version=version, split=split, channels=channels, sweeps={}, progress=progress
        )
        for channel in self.cameras:
            if self.records[0].key(channel).intrinsic is None:
                raise ValueError(f"NuscenesDataset: {channel} is no camera; cameras are {', '.join(CAMERAS)}")
        folder = self.root / version
        self._annotations = read_annotations(folder, read_key_frames(folder, split), progress=progress)

    def __len__(self) -> int:
        """Count the key frames of the split."""
        return len(self.records)

    def __iter__(self) -> Iterator[Frame]:
        """Read key frame by key frame."""
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> Frame:
        """Read one key frame.

        Raises:
            IndexError: No such index.
            FileNotFoundError: A file of the frame is missing.
            ValueError: A file of the frame is damaged, or a picture has another size than the tables say.
        """
        record = self.records[index]
        lidar = record.key(LIDAR)
        points = read_lidar(lidar.path(self.root))[:, :4]
        objects = None
        if self._annotations is not None:
            objects = _objects(self._annotations[record.token], lidar, record.token, points)
        return Frame(
            frame_id=record.token,
            points=np.ascontiguousarray(points),
            images={channel: read_image(record.key(channel).path(self.root)) for channel in self.cameras},
            cameras={channel: self._camera(record, channel) for channel in self.cameras},
            objects=objects,
            radar=self._radar(record) if self.radars else None,
        )

    def annotations(self, index: int) -> Annotations | None:
        """Return the boxes of a key frame in the global frame, as the tables have them; None without any."""
        return None if self._annotations is None else self._annotations[self.records[index].token]

    def _camera(self, record: SampleRecord, channel: str) -> PinholeCamera:
        camera = record.key(channel)
        width, height = camera.size_wh or read_image_size(camera.path(self.root))
        return PinholeCamera(
            image_from_cam=np.column_stack([np.array(camera.intrinsic, np.float64), np.zeros(3)]),
            cam_from_lidar=b_from_a(camera, record.key(LIDAR)),
            width=width,
            height=height,
        )

    def _radar(self, record: SampleRecord) -> Float32[np.ndarray, "r 18"]:
        return np.concatenate([self._returns(record, channel) for channel in self.radars])

    def _returns(self, record: SampleRecord, channel: str) -> Float32[np.ndarray, "r 18"]:
        radar = record.key(channel)
        returns = filter_states(read_radar(radar.path(self.root)))
        lidar_from_radar = b_from_a(record.key(LIDAR), radar)
        moved = returns.copy()
        moved[:, :3] = transforms.apply(lidar_from_radar, returns[:, :3].astype(np.float64))
        for names in _VELOCITIES:
            columns = [RADAR_FIELDS.index(name) for name in names]
            moved[:, columns] = returns[:, columns] @ lidar_from_radar[:2, :2].T
        return moved


def _objects(
    found: Annotations, lidar: SensorRecord, frame_id: str, points: Float32[np.ndarray, "n 4"]
) -> Objects:
    count = len(found.names)
    boxes_lidar = found.boxes(transforms.invert(lidar.global_from_sensor))
    return Objects(
        names=found.names,
        boxes_lidar=boxes_lidar.astype(np.float32),
        num_points=boxes.contains(points[:, :3].astype(np.float64), boxes_lidar).sum(axis=0).astype(np.int32),
        source_id=tuple(f"{frame_id}_{i}" for i in range(count)),
    )
