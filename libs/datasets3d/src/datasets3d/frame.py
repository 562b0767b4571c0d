"""The typed sample every adapter returns: `Frame`, and the labelled `Objects` in it.

All are frozen dataclasses of numpy arrays. What a data set does not have is None; what KITTI alone has is in
parts of its own, `Frame.kitti` and `Objects.kitti`. Nothing is copied on construction: treat the arrays as
read-only, and make a changed frame with `dataclasses.replace`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from geom3d.cameras import PinholeCamera
from geom3d.kitti import KittiCalibration
from jaxtyping import Float32, Float64, Int32, UInt8

from datasets3d._validate import check_array

POINT_COLUMNS = ("x", "y", "z", "intensity")
"""The columns of a cloud that names no others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KittiColumns:
    """What KITTI's labels say of m objects besides their geometry: how the left colour camera sees them.

    Raises:
        TypeError: A column has another dtype than stated here.
        ValueError: A column has another shape, or another length than `alpha`; the message names the column.
    """

    truncation: Float32[np.ndarray, " m"]
    """Share of the object outside the image, 0..1."""
    occlusion: Int32[np.ndarray, " m"]
    """0 fully visible, 1 partly occluded, 2 largely occluded, 3 unknown."""
    alpha: Float32[np.ndarray, " m"]
    """Observation angle in radians, -pi..pi."""
    difficulty: Int32[np.ndarray, " m"]
    """0 easy, 1 moderate, 2 hard, -1 beyond hard."""
    boxes_image: Float32[np.ndarray, "m 4"] | None = None
    """u0 v0 u1 v1 in pixels of the frame's first image; None for another camera than the labels'."""

    def __post_init__(self) -> None:
        """Check lengths, shapes and dtypes."""
        count = len(self.alpha)
        for name, dtype in (("truncation", "f4"), ("occlusion", "i4"), ("alpha", "f4"), ("difficulty", "i4")):
            check_array(f"KittiColumns.{name}", getattr(self, name), dtype, (count,))
        if self.boxes_image is not None:
            check_array("KittiColumns.boxes_image", self.boxes_image, np.float32, (count, 4))

    def __len__(self) -> int:
        """Count the objects."""
        return len(self.alpha)


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
    num_points: Int32[np.ndarray, " m"] | None = None
    """Points of the frame inside the box when it was read; augmentation does not recount."""
    source_id: tuple[str, ...] | None = None
    """`<frame>_<index>`: where it came from (index among the 3D-labelled ones); key of its dense target."""
    kitti: KittiColumns | None = None
    """What KITTI's labels say besides; None for other data sets."""

    def __post_init__(self) -> None:
        """Check lengths, shapes and dtypes."""
        count = len(self.names)
        check_array("Objects.boxes_lidar", self.boxes_lidar, np.float32, (count, 7))
        if self.num_points is not None:
            check_array("Objects.num_points", self.num_points, np.int32, (count,))
        for name in ("source_id", "kitti"):
            column = getattr(self, name)
            if column is not None and len(column) != count:
                raise ValueError(f"Objects.{name}: expected {count} entries, got {len(column)}")

    def __len__(self) -> int:
        """Count the objects."""
        return len(self.names)

    @classmethod
    def empty(cls) -> "Objects":
        """Return zero objects, without KITTI's columns."""
        nothing = np.zeros((0, 7), np.float32)
        return cls(names=(), boxes_lidar=nothing, num_points=np.zeros(0, np.int32), source_id=())

    def take(self, indices: Sequence[int] | np.ndarray) -> "Objects":
        """Return the objects at these indices, in this order."""
        return _take(self, np.asarray(indices, dtype=np.int64))

    @staticmethod
    def concatenate(first: "Objects", second: "Objects") -> "Objects":
        """Return the objects of both, `first` in front.

        An optional column survives only if both have it; zero objects leave the others as they are.
        """
        return first if not len(second) else second if not len(first) else _join(first, second)


@dataclass(frozen=True, slots=True, kw_only=True)
class KittiFrame:
    """What KITTI alone has for a frame.

    Raises:
        TypeError: An array has another dtype than stated here.
        ValueError: An array has another shape.
    """

    calibration: KittiCalibration | None = None
    """The calibration file; None once the scene was flipped, rotated or scaled: it no longer holds."""
    dont_care_image: Float32[np.ndarray, "k 4"] | None = None
    """u0 v0 u1 v1 in pixels: regions whose objects are not labelled."""
    road_plane: Float64[np.ndarray, "4"] | None = None
    """a b c d, a x + b y + c z + d = 0 in the rectified camera frame, |(a, b, c)| = 1, b < 0 (up)."""

    def __post_init__(self) -> None:
        """Check shapes and dtypes."""
        if self.dont_care_image is not None:
            check_array("KittiFrame.dont_care_image", self.dont_care_image, np.float32, (None, 4))
        if self.road_plane is not None:
            check_array("KittiFrame.road_plane", self.road_plane, np.float64, (4,))


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One moment seen by the sensors, with its labels.

    Geometric augmentation is folded into `cameras`: each camera always projects `points` to the pixels of its
    image as it is now. The camera frames themselves never move, so a road plane stays true.

    Raises:
        TypeError: An array has another dtype than stated here.
        ValueError: An array has another shape, the columns are named otherwise, or an image and its camera
            disagree on the size.

    Example:
        >>> frame = Frame(frame_id="000000", points=np.zeros((2, 4), np.float32))
        >>> frame.points.shape, frame.objects is None
        ((2, 4), True)
        >>> coloured = ("x", "y", "z", "red", "green", "blue")
        >>> Frame(frame_id="0", points=np.zeros((2, 6), np.float32), point_columns=coloured).point_columns[3]
        'red'
    """

    frame_id: str
    points: Float32[np.ndarray, "n c"]
    """x y z in metres, the data set's LiDAR frame, z up, then what `point_columns` names.

    KITTI: x forward, y left. nuScenes: x right, y forward."""
    point_columns: tuple[str, ...] = POINT_COLUMNS
    """Names of the columns of `points`, x y z first. Values are as the data set gives them; whatever moves or
    selects points keeps the columns behind the third."""
    images: Mapping[str, UInt8[np.ndarray, "_ _ 3"]] = field(default_factory=dict)
    """RGB by camera name, e.g. `image_2` or `CAM_FRONT`."""
    cameras: Mapping[str, PinholeCamera] = field(default_factory=dict)
    """Camera by name; a camera may lack its image, never the other way round."""
    objects: Objects | None = None
    """3D-labelled objects of all classes; None if the frame has no labels (test split)."""
    dense_points: Float32[np.ndarray, "d 4"] | None = None
    """x y z in metres, LiDAR frame, and the index of the object whose complete surface it lies on."""
    radar: Float32[np.ndarray, "r _"] | None = None
    """Radar returns, x y z first, LiDAR frame; the data set says what the further columns are."""
    kitti: KittiFrame | None = None
    """What KITTI alone has; None for other data sets."""

    def __post_init__(self) -> None:
        """Check shapes, dtypes, names of columns and image sizes."""
        columns = self.point_columns
        if columns[:3] != ("x", "y", "z") or len(set(columns)) != len(columns):
            raise ValueError(
                f"Frame.point_columns: expected x, y, z and then other names, each once, got {columns}"
            )
        check_array("Frame.points", self.points, np.float32, (None, len(columns)))
        if self.dense_points is not None:
            check_array("Frame.dense_points", self.dense_points, np.float32, (None, 4))
        if self.radar is not None:
            check_array("Frame.radar", self.radar, np.float32, (None, None))
        for name, image in self.images.items():
            self._check_image(name, image)

    def _check_image(self, name: str, image: np.ndarray) -> None:
        if name not in self.cameras:
            raise ValueError(
                f"Frame.images: {name!r} has no camera; Frame.cameras holds {sorted(self.cameras)}"
            )
        camera = self.cameras[name]
        check_array(f"Frame.images[{name!r}]", image, np.uint8, (camera.height, camera.width, 3))


def check_same_columns(where: str, columns: Mapping[str, tuple[str, ...]]) -> None:
    """Raise unless the clouds, given by name with their columns, can be put together.

    Raises:
        ValueError: Two have different columns; names both.

    Example:
        >>> check_same_columns("here", {"this": ("x", "y", "z"), "that": ("x", "y", "z")})
    """
    (name, wanted), *others = columns.items()
    for other, found in others:
        if found != wanted:
            raise ValueError(
                f"{where}: the points of {name} have the columns {' '.join(wanted)}, those of {other} have "
                f"{' '.join(found)}; bring them to the same columns first"
            )


def _take(column: Any, indices: np.ndarray) -> Any:
    if isinstance(column, Objects | KittiColumns):
        return type(column)(**{f.name: _take(getattr(column, f.name), indices) for f in fields(column)})
    if column is None or isinstance(column, np.ndarray):
        return None if column is None else column[indices]
    return tuple(column[i] for i in indices.tolist())


def _join(first: Any, second: Any) -> Any:
    if first is None or second is None:
        return None
    if isinstance(first, Objects | KittiColumns):
        parts = {f.name: _join(getattr(first, f.name), getattr(second, f.name)) for f in fields(first)}
        return type(first)(**parts)
    return np.concatenate([first, second]) if isinstance(first, np.ndarray) else (*first, *second)
