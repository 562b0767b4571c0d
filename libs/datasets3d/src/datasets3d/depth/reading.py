"""Depth completion samples from nuScenes records: what to read, and the three forms of a sample.

`read_training_sample` and `read_evaluation_sample` make the ground truth by the released code's two rules;
`read_input_sample` needs no LiDAR at all. Source: the released `dataset.py`, spec 4.3 and 4.4.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from geom3d import transforms
from jaxtyping import Float32, Float64

from datasets3d._files import read_image
from datasets3d._validate import check_least, check_positive
from datasets3d.depth import masks, pictures, projection
from datasets3d.depth.overlap_filter import without_overlap
from datasets3d.depth.sample import DepthSample
from datasets3d.nuscenes import SampleRecord, SensorRecord, b_from_a
from datasets3d.nuscenes.lidar import read_lidar
from datasets3d.nuscenes.radar import filter_states, read_radar

RadarDrawing = Literal["columns", "points"]
"""How a radar return fills the picture: its whole column (published), or the one pixel it projects to."""


@dataclass(frozen=True, kw_only=True)
class DepthReading:
    """Which files make a sample, and how. Folders are relative to the root of the data set.

    Raises:
        ValueError: A number out of its range.

    Example:
        >>> DepthReading(query_radius_px=None).max_depth_m
        80.0
    """

    camera: str = "CAM_FRONT"
    """Source: released `dataset.py`, which reads the front sensors only."""
    radar: str = "RADAR_FRONT"
    """Source: as `camera`."""
    lidar: str = "LIDAR_TOP"
    """Source: as `camera`."""
    max_depth_m: float = 80.0
    """Training targets lie strictly between 0 and this; evaluation has no limit. Source: as `camera`."""
    query_radius_px: float | None = 5.0
    """Radius of the ground-truth filter in training; None leaves it out. Source: `query_radius`, which the
    release uses but defines nowhere; 5 px is our choice."""
    drop_behind: bool = False
    """Leave points behind the camera out of the evaluation map. The released code lets them overwrite pixels
    with negative depths, which only loses ground truth."""
    radar_sweeps: int = 1
    """Radar sweeps, the key frame's included, as far as the record has them; they are moved by the car's own
    motion, newest last. 1 is published, more is our extension."""
    radar_drawing: RadarDrawing = "columns"
    """Source: the paper's radar disruption; "points" is its ablation."""
    mask_folder: str | None = "seg_mask"
    """Pictures of ADE20K classes, `<image base name>.png`, read for training only; None: no masks.
    Source: the layout of the release."""
    true_depth_folder: str | None = None
    """Depth of every pixel, `<camera>/<image base name>.png`, where a synthetic world has it."""
    supervision_folder: str | None = None
    """None trains on the key frame's own sweep (published). Else depth pictures, laid out as the true depth,
    take its place: those of `write_dense_supervision`, or the true depth itself. They are not filtered."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        check_positive(self, "max_depth_m")
        if self.query_radius_px is not None:
            check_least(self, 0, "query_radius_px")
        check_least(self, 1, "radar_sweeps")


def read_input_sample(record: SampleRecord, root: Path | str, reading: DepthReading) -> DepthSample:
    """Read what a model sees, image and radar, and the true depth if there is a folder of it; no LiDAR.

    Without a radar return in view the radar map is all 0.

    Raises:
        FileNotFoundError: The image, the radar file or the true depth is missing.
        KeyError: The record lacks the camera or the radar.
        ValueError: A damaged file, or a picture of another size than the record or the image has.
    """
    root, camera = Path(root), record.key(reading.camera)
    image = read_image(camera.path(root))
    _check_size(camera, image)
    points = radar_points(record, root, reading)
    uv, depth = projection.project(points, camera_matrix(camera))
    draw = projection.column_map if reading.radar_drawing == "columns" else projection.point_map
    return DepthSample(
        frame_id=record.token,
        image=image,
        radar_points=points.astype(np.float32),
        radar_map=draw(uv, depth, width=image.shape[1], height=image.shape[0]),
        true_depth=_depth_picture(root, reading.true_depth_folder, camera, image.shape[:2]),
    )


def read_evaluation_sample(record: SampleRecord, root: Path | str, reading: DepthReading) -> DepthSample:
    """Read a sample with the official evaluation target: the single sweep, unfiltered, in file order.

    The last point of a pixel wins, not the nearest, and points behind the camera write negative depths unless
    `reading.drop_behind` is set. No masks.

    Raises:
        FileNotFoundError: As `read_input_sample`, or no LiDAR file.
        KeyError: The record lacks a sensor.
        ValueError: As `read_input_sample`.
    """
    sample = read_input_sample(record, root, reading)
    uv, depth = lidar_pixels(record, root, reading)
    if reading.drop_behind:
        uv, depth = uv[depth > 0], depth[depth > 0]
    height, width = sample.radar_map.shape
    return replace(sample, lidar_map=projection.point_map(uv, depth, width=width, height=height))


def read_training_sample(record: SampleRecord, root: Path | str, reading: DepthReading) -> DepthSample:
    """Read a sample with the training target, limited in depth and filtered, and the masks.

    The released filter blanks a point by writing 0 to the pixel (0, 0), so that pixel never has a label; here
    the point is dropped and that pixel is like all others.

    Raises:
        FileNotFoundError: As `read_input_sample`, or no LiDAR file, mask or supervision picture.
        KeyError: The record lacks a sensor.
        ValueError: As `read_input_sample`.
    """
    sample = read_input_sample(record, root, reading)
    camera, shape = record.key(reading.camera), sample.radar_map.shape
    target = _depth_picture(Path(root), reading.supervision_folder, camera, shape)
    if target is None:
        uv, depth = lidar_pixels(record, root, reading)
        target = training_map(uv, depth, reading, width=shape[1], height=shape[0])
    else:
        target[target >= reading.max_depth_m] = 0
    return replace(sample, lidar_map=target, radar_classes=_mask(Path(root), reading, camera, shape))


def training_map(
    uv: Float64[np.ndarray, "n 2"],
    depth_m: Float64[np.ndarray, " n"],
    reading: DepthReading,
    *,
    width: int,
    height: int,
) -> Float32[np.ndarray, "h w"]:
    """Make the training target of projected points: limit the depth, filter overlaps, write to pixels.

    Points off the canvas take part in the filter, as far as its radius reaches.
    """
    radius = reading.query_radius_px
    near = projection.on_canvas(uv, width=width, height=height, margin_px=1.0 + (radius or 0.0))
    near &= (depth_m > 0) & (depth_m < reading.max_depth_m)
    uv, depth_m = uv[near], depth_m[near]
    if radius is not None:
        keep = without_overlap(uv, depth_m, radius_px=radius)
        uv, depth_m = uv[keep], depth_m[keep]
    return projection.point_map(uv, depth_m, width=width, height=height)


def radar_points(record: SampleRecord, root: Path | str, reading: DepthReading) -> Float64[np.ndarray, "r 3"]:
    """Read all radar returns that pass the state filter, in the camera frame at the camera's time.

    The order is that of the files, older sweeps first.

    Raises:
        FileNotFoundError: No radar file.
        KeyError: The record lacks the camera or the radar.
        ValueError: A damaged file.
    """
    camera = record.key(reading.camera)
    record.key(reading.radar)
    sweeps = record.sensors[reading.radar][: reading.radar_sweeps]
    parts = [_moved(filter_states(read_radar(s.path(root))), camera, s) for s in reversed(sweeps)]
    return np.concatenate(parts)


def lidar_pixels(
    record: SampleRecord, root: Path | str, reading: DepthReading
) -> tuple[Float64[np.ndarray, "n 2"], Float64[np.ndarray, " n"]]:
    """Read the key frame's sweep and return u v and depth of all its points, in file order, in view or not.

    Raises:
        FileNotFoundError: No LiDAR file.
        KeyError: The record lacks the camera or the LiDAR.
        ValueError: A damaged file, or a camera without intrinsics.
    """
    camera, lidar = record.key(reading.camera), record.key(reading.lidar)
    return projection.project(_moved(read_lidar(lidar.path(root)), camera, lidar), camera_matrix(camera))


def camera_matrix(camera: SensorRecord) -> Float64[np.ndarray, "3 3"]:
    """Return a camera's intrinsics.

    Raises:
        ValueError: The record has none.
    """
    if camera.intrinsic is None:
        raise ValueError(
            f"datasets3d.depth: {camera.channel} has no intrinsics ({camera.filename}); name a camera"
        )
    return np.array(camera.intrinsic, np.float64)


def _moved(points: np.ndarray, camera: SensorRecord, sensor: SensorRecord) -> np.ndarray:
    return transforms.apply(b_from_a(camera, sensor), points[:, :3].astype(np.float64))


def _check_size(camera: SensorRecord, image: np.ndarray) -> None:
    size_wh = image.shape[1], image.shape[0]
    if camera.size_wh is not None and camera.size_wh != size_wh:
        raise ValueError(
            f"datasets3d.depth: {camera.filename} is {size_wh[0]}x{size_wh[1]}, its record says "
            f"{camera.size_wh[0]}x{camera.size_wh[1]}, which its intrinsics belong to; copy the image again"
        )


def _depth_picture(
    root: Path, folder: str | None, camera: SensorRecord, shape: tuple[int, ...]
) -> np.ndarray | None:
    if folder is None:
        return None
    path = pictures.picture_of(root / folder, camera.filename, channel=camera.channel)
    depth = pictures.read_depth_picture(path)
    _check_shape(path, depth, shape)
    return depth


def _mask(
    root: Path, reading: DepthReading, camera: SensorRecord, shape: tuple[int, ...]
) -> np.ndarray | None:
    if reading.mask_folder is None:
        return None
    path = pictures.picture_of(root / reading.mask_folder, camera.filename)
    ids = masks.read_class_ids(path)
    _check_shape(path, ids, shape)
    return masks.radar_classes(ids)


def _check_shape(path: Path, picture: np.ndarray, shape: tuple[int, ...]) -> None:
    if picture.shape != shape:
        raise ValueError(
            f"datasets3d.depth: {path} is {picture.shape[1]}x{picture.shape[0]}, its image "
            f"{shape[1]}x{shape[0]}; make it again from that image"
        )
