"""The KITTI object data set (or any data in its layout) as typed frames, straight from the official files."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from geom3d import boxes, cameras
from geom3d import kitti as geom_kitti
from geom3d.cameras import PinholeCamera
from geom3d.kitti import KittiCalibration
from jaxtyping import Bool, Float32

from datasets3d import _sources
from datasets3d._files import read_image, read_image_size
from datasets3d._point_files import InvalidPoints
from datasets3d._validate import nearest_names
from datasets3d.frame import Frame, KittiColumns, KittiFrame, Objects
from datasets3d.kitti._files import read_points, read_road_plane
from datasets3d.kitti._tree import open_tree, require_files
from datasets3d.kitti.labels import KittiLabel, read_labels

_CAMERAS = {"image_2": "p2", "image_3": "p3"}


class KittiDataset:
    """Frames of one split: `len(dataset)`, `dataset[i]`; nothing is read until a frame is asked for.

    Labels are read under training/ only; splits whose name starts with `test` live under testing/ and give
    frames with `objects` None. A scan missing in velodyne/ is taken from velodyne_reduced/ (already cropped
    to the image).
    A frame takes tens of milliseconds, most of them for the PNG.

    Args:
        root: Folder with ImageSets/, training/, testing/.
        split: Name of a file in ImageSets/, without `.txt`.
        camera: `image_2` (left colour, the labels' camera) or `image_3` (right colour; no labelled 2D boxes
            then).
        crop_to_image: Drop points that the camera does not see, as the detectors of the benchmark do.
        invalid_points: Points with NaN or infinite numbers are an `error`, or are quietly dropped (`drop`).

    Raises:
        FileNotFoundError: Not a KITTI tree, no such split, or files of the split missing.
        ValueError: Unknown camera, an unfinished tree, an empty split file.
    """

    def __init__(
        self,
        root: Path | str,
        split: str,
        *,
        camera: str = "image_2",
        crop_to_image: bool = True,
        invalid_points: InvalidPoints = "error",
    ) -> None:
        if camera not in _CAMERAS:
            raise ValueError(
                f"KittiDataset: unknown camera {camera!r}; {nearest_names(camera, list(_CAMERAS))}"
            )
        self._tree, self.frame_ids = open_tree(root, split)
        require_files(self._tree, self.frame_ids, camera)
        self.split = split
        self.camera = camera
        self._crop_to_image = crop_to_image
        self._invalid_points: InvalidPoints = invalid_points

    @property
    def root(self) -> Path:
        """The folder with ImageSets/, training/, testing/."""
        return self._tree.root

    @property
    def label_dir(self) -> Path | None:
        """The folder of the labels that belong to this split; None under testing/, which has none.

        Frames of training/ have the same numbers as those of testing/: labels of one are wrong for the other.
        """
        return None if self._tree.subset == "testing" else self.root / self._tree.subset / "label_2"

    def __len__(self) -> int:
        """Count the frames of the split."""
        return len(self.frame_ids)

    def __iter__(self) -> Iterator[Frame]:
        """Read frame by frame."""
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> Frame:
        """Read one frame.

        Raises:
            IndexError: No such index.
            FileNotFoundError: A file of the frame is missing.
            ValueError: A file of the frame is damaged; names file and cure.
        """
        frame_id = self.frame_ids[index]
        calibration = self.calibration(frame_id)
        image = read_image(self._tree.path(self.camera, frame_id))
        camera = _camera_of(calibration, self.camera, width=image.shape[1], height=image.shape[0])
        points = self.points(frame_id)
        if self._crop_to_image:
            points = points[in_view(points, camera)]
        labels = self.labels(frame_id)
        return Frame(
            frame_id=frame_id,
            points=points,
            images={self.camera: image},
            cameras={self.camera: camera},
            objects=None if labels is None else self._objects(labels, frame_id, points, calibration),
            kitti=KittiFrame(
                calibration=calibration,
                dont_care_image=None if labels is None else _dont_care(labels),
                road_plane=read_road_plane(self._tree.path("planes", frame_id)),
            ),
        )

    def calibration(self, frame_id: str) -> KittiCalibration:
        """Read a frame's calibration file."""
        return geom_kitti.read_calibration(self._tree.path("calib", frame_id))

    def image_size(self, frame_id: str) -> tuple[int, int]:
        """Read (width, height) of a frame's picture from its header."""
        return read_image_size(self._tree.path(self.camera, frame_id))

    def points(self, frame_id: str) -> Float32[np.ndarray, "n 4"]:
        """Read a frame's whole scan, not cropped to the image."""
        return read_points(self._tree.scan_path(frame_id), invalid_points=self._invalid_points)

    def labels(self, frame_id: str) -> list[KittiLabel] | None:
        """Read a frame's labels as they stand in the file; None under testing/."""
        if self.label_dir is None:
            return None
        return read_labels(self._tree.path("label_2", frame_id))

    def digests(self) -> dict[str, str]:
        """Return hashes of the split file and of every calibration and label file, by path below the root.

        What is made from a split records them, and is refused once they have changed.
        """
        kinds = ("calib",) if self.label_dir is None else ("calib", "label_2")
        paths = [self._tree.path(kind, frame_id) for frame_id in self.frame_ids for kind in kinds]
        return _sources.digests(self.root, [self.root / "ImageSets" / f"{self.split}.txt", *paths])

    def _objects(
        self, labels: list[KittiLabel], frame_id: str, points: np.ndarray, calibration: KittiCalibration
    ) -> Objects:
        found = objects_from_labels(labels, frame_id=frame_id, points=points, calibration=calibration)
        if self.camera == "image_2" or found.kitti is None:
            return found
        # The labelled 2D boxes belong to the left picture.
        return replace(found, kitti=replace(found.kitti, boxes_image=None))


def objects_from_labels(
    labels: list[KittiLabel],
    *,
    frame_id: str,
    points: Float32[np.ndarray, "n 4"],
    calibration: KittiCalibration,
) -> Objects:
    """Convert label lines to LiDAR boxes and count `points` (LiDAR frame) in them; no DontCare."""
    kept = [label for label in labels if not label.is_dont_care]
    if not kept:
        return Objects.empty()
    sizes_hwl = np.array([label.size_hwl for label in kept])
    boxes_lidar = geom_kitti.boxes_lidar_from_camera(
        np.array([label.location for label in kept]),
        sizes_hwl[:, [2, 0, 1]],
        np.array([label.rotation_y for label in kept]),
        calibration,
    )
    return Objects(
        names=tuple(label.name for label in kept),
        boxes_lidar=boxes_lidar.astype(np.float32),
        num_points=boxes.contains(points[:, :3].astype(np.float64), boxes_lidar).sum(axis=0).astype(np.int32),
        source_id=tuple(f"{frame_id}_{i}" for i in range(len(kept))),
        kitti=KittiColumns(
            truncation=np.array([label.truncation for label in kept], np.float32),
            occlusion=np.array([label.occlusion for label in kept], np.int32),
            alpha=np.array([label.alpha for label in kept], np.float32),
            difficulty=np.array([label.difficulty for label in kept], np.int32),
            boxes_image=np.array([label.box_image for label in kept], np.float32),
        ),
    )


def in_view(points: Float32[np.ndarray, "n 4"], camera: PinholeCamera) -> Bool[np.ndarray, " n"]:
    """Mark the points (LiDAR frame) that lie in front of the camera and inside its picture.

    Projects with the whole matrix. Some detector code divides by the rectified z instead, which moves pixels
    by tenths at most and so changes a few points at the picture's border.
    """
    uv, depth_m = cameras.project(points[:, :3].astype(np.float64), camera.image_from_lidar)
    return cameras.in_image(uv, depth_m, width=camera.width, height=camera.height)


def _camera_of(calibration: KittiCalibration, camera: str, *, width: int, height: int) -> PinholeCamera:
    matrix = getattr(calibration, _CAMERAS[camera])
    if matrix is None:
        raise ValueError(
            f"KittiDataset: the calibration has no {_CAMERAS[camera].upper()}, the matrix of {camera}; add "
            "it, or take image_2"
        )
    return PinholeCamera(
        image_from_cam=matrix,
        cam_from_lidar=calibration.cam_from_lidar,
        width=width,
        height=height,
    )


def _dont_care(labels: list[KittiLabel]) -> Float32[np.ndarray, "k 4"]:
    regions = [label.box_image for label in labels if label.is_dont_care]
    return np.array(regions, np.float32).reshape(-1, 4)
