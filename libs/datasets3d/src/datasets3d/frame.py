"""The typed sample every adapter returns: `Frame`, and the labelled `Objects` in it.

Both are frozen dataclasses of numpy arrays. What a data set does not have is None. Nothing is copied on
construction: treat the arrays as read-only, and make a changed frame with `dataclasses.replace`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from geom3d.cameras import PinholeCamera
from geom3d.kitti import KittiCalibration
from jaxtyping import Float32, Float64, Int32, UInt8

from datasets3d._validate import check_array


@dataclass(frozen=True, slots=True, kw_only=True)
class Objects:
    """The 3D-labelled objects of one frame, as columns of equal length m (m may be 0).

    Raises:
        TypeError: A column has another dtype than stated here.
        ValueError: A column has another shape; the message names the column.

    Example:
        >>> objects = Objects.empty()
        >>> len(objects), objects.boxes_lidar.shape
        (0, (0, 7))
    """

    names: tuple[str, ...]
    """Class names as the data set spells them."""
    boxes_lidar: Float32[np.ndarray, "m 7"]
    """x y z dx dy dz yaw: metres and radians, LiDAR frame, geometric centre, yaw counter-clockwise."""
    truncation: Float32[np.ndarray, " m"]
    """Share of the object outside the image, 0..1; NaN where the data set does not say."""
    occlusion: Int32[np.ndarray, " m"]
    """0 fully visible, 1 partly occluded, 2 largely occluded, 3 unknown."""
    alpha: Float32[np.ndarray, " m"]
    """KITTI's observation angle in radians (-pi..pi), a property of the image; NaN where there is none."""
    difficulty: Int32[np.ndarray, " m"]
    """0 easy, 1 moderate, 2 hard, -1 beyond hard or not rated."""
    boxes_image: Float32[np.ndarray, "m 4"] | None = None
    """u0 v0 u1 v1 in pixels of the frame's first image."""
    num_points: Int32[np.ndarray, " m"] | None = None
    """Points of the frame inside the box when it was read; augmentation does not recount."""
    source_id: tuple[str, ...] | None = None
    """`<frame>_<index>`: where it came from (index among the 3D-labelled ones); key of its dense target."""

    def __post_init__(self) -> None:
        """Check lengths, shapes and dtypes."""
        count = len(self.names)
        check_array("Objects.boxes_lidar", self.boxes_lidar, np.float32, (count, 7))
        for name, dtype in (
            ("truncation", np.float32),
            ("occlusion", np.int32),
            ("alpha", np.float32),
            ("difficulty", np.int32),
        ):
            check_array(f"Objects.{name}", getattr(self, name), dtype, (count,))
        if self.boxes_image is not None:
            check_array("Objects.boxes_image", self.boxes_image, np.float32, (count, 4))
        if self.num_points is not None:
            check_array("Objects.num_points", self.num_points, np.int32, (count,))
        if self.source_id is not None and len(self.source_id) != count:
            raise ValueError(f"Objects.source_id: expected {count} entries, got {len(self.source_id)}")

    def __len__(self) -> int:
        """Count the objects."""
        return len(self.names)

    @classmethod
    def empty(cls) -> "Objects":
        """Return zero objects, with every column present."""
        return cls(
            names=(),
            boxes_lidar=np.zeros((0, 7), np.float32),
            truncation=np.zeros(0, np.float32),
            occlusion=np.zeros(0, np.int32),
            alpha=np.zeros(0, np.float32),
            difficulty=np.zeros(0, np.int32),
            boxes_image=np.zeros((0, 4), np.float32),
            num_points=np.zeros(0, np.int32),
            source_id=(),
        )

    def take(self, indices: Sequence[int] | np.ndarray) -> "Objects":
        """Return the objects at these indices, in this order."""
        chosen = np.asarray(indices, dtype=np.int64)
        return Objects(**{f.name: _take(getattr(self, f.name), chosen) for f in fields(self)})

    @staticmethod
    def concatenate(first: "Objects", second: "Objects") -> "Objects":
        """Return the objects of both, `first` in front; an optional column survives only if both have it."""
        return Objects(
            **{f.name: _join(getattr(first, f.name), getattr(second, f.name)) for f in fields(Objects)}
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One moment seen by the sensors, with its labels.

    Geometric augmentation is folded into `cameras`: each camera always projects `points` to the pixels of its
    image as it is now. The rectified camera frame itself never moves, so `road_plane` stays true.

    Raises:
        TypeError: An array has another dtype than stated here.
        ValueError: An array has another shape, or an image and its camera disagree on the size.

    Example:
        >>> frame = Frame(frame_id="000000", points=np.zeros((2, 4), np.float32))
        >>> frame.points.shape, frame.objects is None
        ((2, 4), True)
    """

    frame_id: str
    points: Float32[np.ndarray, "n 4"]
    """x y z in metres, the data set's LiDAR frame, z up, and intensity as the data set gives it.

    KITTI: x forward, y left. nuScenes: x right, y forward."""
    images: Mapping[str, UInt8[np.ndarray, "_ _ 3"]] = field(default_factory=dict)
    """RGB by camera name, e.g. `image_2` or `CAM_FRONT`."""
    cameras: Mapping[str, PinholeCamera] = field(default_factory=dict)
    """Camera by name; a camera may lack its image, never the other way round."""
    calibration: KittiCalibration | None = None
    """The calibration file; None once the scene was flipped, rotated or scaled: it no longer holds."""
    objects: Objects | None = None
    """3D-labelled objects of all classes; None if the frame has no labels (test split)."""
    dont_care_image: Float32[np.ndarray, "k 4"] | None = None
    """u0 v0 u1 v1 in pixels: regions whose objects are not labelled."""
    road_plane: Float64[np.ndarray, "4"] | None = None
    """a b c d, a x + b y + c z + d = 0 in the rectified camera frame, |(a, b, c)| = 1, b < 0 (up)."""
    dense_points: Float32[np.ndarray, "d 4"] | None = None
    """x y z in metres, LiDAR frame, and the index of the object whose complete surface it lies on."""
    semantics: Int32[np.ndarray, " n"] | None = None
    """Class index per point."""
    instances: Int32[np.ndarray, " n"] | None = None
    """Instance number per point."""
    radar: Float32[np.ndarray, "r c"] | None = None
    """Radar returns, x y z first, LiDAR frame; the data set says what the further columns are."""
    depth: Mapping[str, Float32[np.ndarray, "_ _"]] | None = None
    """Depth in metres by camera name, along the camera's z; 0 where unknown."""

    def __post_init__(self) -> None:
        """Check shapes, dtypes and image sizes."""
        check_array("Frame.points", self.points, np.float32, (None, 4))
        for name, dtype, shape in (
            ("dont_care_image", np.float32, (None, 4)),
            ("road_plane", np.float64, (4,)),
            ("dense_points", np.float32, (None, 4)),
            ("semantics", np.int32, (len(self.points),)),
            ("instances", np.int32, (len(self.points),)),
            ("radar", np.float32, (None, None)),
        ):
            if getattr(self, name) is not None:
                check_array(f"Frame.{name}", getattr(self, name), dtype, shape)
        for name, image in self.images.items():
            self._check_image(name, image)

    def _check_image(self, name: str, image: np.ndarray) -> None:
        if name not in self.cameras:
            raise ValueError(
                f"Frame.images: {name!r} has no camera; Frame.cameras holds {sorted(self.cameras)}"
            )
        camera = self.cameras[name]
        check_array(f"Frame.images[{name!r}]", image, np.uint8, (camera.height, camera.width, 3))


def _take(column: Any, indices: np.ndarray) -> Any:
    if column is None or isinstance(column, np.ndarray):
        return None if column is None else column[indices]
    return tuple(column[i] for i in indices.tolist())


def _join(first: Any, second: Any) -> Any:
    if first is None or second is None:
        return None
    return np.concatenate([first, second]) if isinstance(first, np.ndarray) else (*first, *second)
