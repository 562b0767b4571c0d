"""Changes of a frame for training: flip, rotation, scaling, cropping, shuffling, leaving out objects.

Every function returns a new frame; arrays that do not change are shared with the old one. Scene, boxes, dense
points and cameras move together: a point keeps its pixel (its mirrored pixel after a flip), so nobody has to
undo anything.
A KITTI frame's calibration is dropped by geometric changes, because it describes the sensors as they stood.
Columns of the points behind x y z stay with their points, whatever they are.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from geom3d import angles, boxes, transforms
from jaxtyping import Bool, Float

from datasets3d._validate import check_class_names, check_within
from datasets3d.frame import Frame, KittiColumns, KittiFrame, Objects


@dataclass(frozen=True, kw_only=True)
class RandomAugmentation:
    """Ranges of the random changes, applied in the order flip, rotation, scaling (the published order)."""

    flip_probability: float = 0.5
    """Chance of mirroring y. Source: ImagePG kitti_dataset.yaml, random_world_flip along x."""
    rotation_rad: tuple[float, float] = (-math.pi / 4, math.pi / 4)
    """Least and greatest turn about z. Source: random_world_rotation."""
    scale: tuple[float, float] = (0.95, 1.05)
    """Least and greatest factor. Source: random_world_scaling."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        check_within(self, (0, 1), "flip_probability")
        for name, (low, high) in (("rotation_rad", self.rotation_rad), ("scale", self.scale)):
            if not low <= high:
                raise ValueError(f"RandomAugmentation.{name} must be (least, greatest), got {(low, high)}")
        if self.scale[0] <= 0:
            raise ValueError(f"RandomAugmentation.scale must be positive, got {self.scale}")


def augment(frame: Frame, config: RandomAugmentation, rng: np.random.Generator) -> Frame:
    """Flip, turn and scale the frame at random; draws three numbers from `rng` whatever happens.

    Example:
        >>> frame = Frame(frame_id="0", points=np.ones((1, 4), np.float32))
        >>> config = RandomAugmentation(flip_probability=1.0, rotation_rad=(0.0, 0.0), scale=(2.0, 2.0))
        >>> augment(frame, config, np.random.default_rng(0)).points.tolist()
        [[2.0, -2.0, 2.0, 1.0]]
    """
    flip_draw, yaw_rad, factor = rng.random(), rng.uniform(*config.rotation_rad), rng.uniform(*config.scale)
    if flip_draw < config.flip_probability:
        frame = flip_y(frame)
    return scale(rotate_z(frame, yaw_rad), factor)


def flip_y(frame: Frame) -> Frame:
    """Mirror the scene (y -> -y) with its pictures, 2D boxes and cameras."""
    moved = _move(frame, np.diag([1.0, -1.0, 1.0, 1.0]))
    objects, kitti = moved.objects, moved.kitti
    width = next((camera.width for camera in frame.cameras.values()), None)
    if objects is not None:
        flipped = boxes.flip_y(objects.boxes_lidar).astype(np.float32)
        objects = replace(objects, boxes_lidar=flipped, kitti=_mirror_columns(objects.kitti, width))
    if kitti is not None:
        kitti = replace(kitti, dont_care_image=_mirror_boxes(kitti.dont_care_image, width))
    return replace(
        moved,
        objects=objects,
        cameras={name: camera.mirrored() for name, camera in moved.cameras.items()},
        images={name: np.ascontiguousarray(image[:, ::-1]) for name, image in frame.images.items()},
        kitti=kitti,
    )


def rotate_z(frame: Frame, yaw_rad: float) -> Frame:
    """Turn the scene counter-clockwise about the sensor's z axis; pictures stay."""
    moved = _move(frame, transforms.from_parts(transforms.rotation_z(float(yaw_rad)), np.zeros(3)))
    if moved.objects is None:
        return moved
    turned = boxes.rotate_z(moved.objects.boxes_lidar.astype(np.float64), float(yaw_rad))
    return replace(moved, objects=replace(moved.objects, boxes_lidar=turned.astype(np.float32)))


def scale(frame: Frame, factor: float) -> Frame:
    """Enlarge the scene about the sensor by `factor`; pictures stay.

    Raises:
        ValueError: The factor is not positive.
    """
    if not factor > 0:
        raise ValueError(f"scale: factor must be positive, got {factor}")
    moved = _move(frame, np.diag([factor, factor, factor, 1.0]))
    if moved.objects is None:
        return moved
    grown = boxes.scale(moved.objects.boxes_lidar.astype(np.float64), float(factor))
    return replace(moved, objects=replace(moved.objects, boxes_lidar=grown.astype(np.float32)))


def crop_range(frame: Frame, bounds: Sequence[float | int]) -> Frame:
    """Keep points inside the bounds, and objects with at least one box corner inside.

    Lower bounds are included and upper ones excluded, as voxel grids have them; dense points are not cut.

    Args:
        frame: Any frame.
        bounds: x0 y0 z0 x1 y1 z1 in metres, LiDAR frame.

    Raises:
        ValueError: Not six numbers, or an upper bound that is not above its lower one.
    """
    low, high = _low_and_high("crop_range", bounds)
    cropped = replace(frame, points=frame.points[_inside(frame.points[:, :3], low, high)])
    if frame.objects is None:
        return cropped
    corners = boxes.corners(frame.objects.boxes_lidar.astype(np.float64))
    return select_objects(cropped, np.flatnonzero(_inside(corners, low, high).any(axis=1)))


def filter_range(frame: Frame, bounds: Sequence[float | int], *, min_points: int = 0) -> Frame:
    """Leave out objects without a box corner inside the bounds, or with too few points there; points stay.

    Points outside the bounds are kept because a model may look at turned and scaled copies of the scene, into
    which they can enter. All bounds are included, and for points those of x and y alone count, as in the
    released code (`mask_points_and_boxes_outside_range`, `filter_empty_boxes`).

    Args:
        frame: A frame without labels is returned as it is.
        bounds: x0 y0 z0 x1 y1 z1 in metres, LiDAR frame.
        min_points: Points inside the bounds that must lie in the box, see `points_in_boxes`.

    Raises:
        ValueError: Not six numbers, or an upper bound that is not above its lower one.
    """
    low, high = _low_and_high("filter_range", bounds)
    objects = frame.objects
    if objects is None or len(objects) == 0:
        return frame
    corners = boxes.corners(objects.boxes_lidar.astype(np.float64))
    keep = np.asarray(((corners >= low) & (corners <= high)).all(axis=-1)).any(axis=1)
    if min_points > 0 and keep.any():
        xy = frame.points[:, :2]
        near = frame.points[((xy >= low[:2]) & (xy <= high[:2])).all(axis=1)]
        keep &= points_in_boxes(near, objects.boxes_lidar).sum(axis=0) >= min_points
    return select_objects(frame, np.flatnonzero(keep))


def shuffle_points(frame: Frame, rng: np.random.Generator) -> Frame:
    """Put the points into random order (voxels keep the first points they meet)."""
    return replace(frame, points=frame.points[rng.permutation(len(frame.points))])


def filter_objects(
    frame: Frame,
    *,
    names: Sequence[str] | None = None,
    min_points: int = 0,
    known_names: tuple[str, ...] | None = None,
) -> Frame:
    """Leave out objects of other classes or with too few points; points and pictures stay.

    Args:
        frame: A frame without labels is returned as it is.
        names: Classes to keep; None keeps all.
        min_points: Points of the frame, as it is now, that must lie in the box, see `points_in_boxes`.
        known_names: What `names` may contain, such as `KITTI_CLASSES`; None takes them as they are.

    Raises:
        ValueError: A class that is not among `known_names`; names the nearest one.
    """
    if names is not None and known_names is not None:
        check_class_names(tuple(names), known=known_names)
    objects = frame.objects
    if objects is None:
        return frame
    keep = np.ones(len(objects), bool)
    if names is not None:
        keep &= np.array([name in names for name in objects.names], bool)
    if min_points > 0 and keep.any():
        keep &= count_points(frame, objects) >= min_points
    return select_objects(frame, np.flatnonzero(keep))


def select_objects(frame: Frame, indices: np.ndarray) -> Frame:
    """Keep the objects at these indices, in this order, and their dense points, renumbered."""
    if frame.objects is None:
        return frame
    dense = frame.dense_points
    if dense is not None:
        new_index = np.full(len(frame.objects), -1)
        new_index[indices] = np.arange(len(indices))
        owner = new_index[dense[:, 3].astype(np.int64)]
        dense = np.column_stack([dense[:, :3], owner]).astype(np.float32)[owner >= 0]
    return replace(frame, objects=frame.objects.take(indices), dense_points=dense)


def count_points(frame: Frame, objects: Objects) -> np.ndarray:
    """Count the frame's points in each box, int64 [m], see `points_in_boxes`."""
    return points_in_boxes(frame.points, objects.boxes_lidar).sum(axis=0)


def points_in_boxes(
    points: Float[np.ndarray, "n c"], boxes_lidar: Float[np.ndarray, "m 7"]
) -> Bool[np.ndarray, "n m"]:
    """Mark which points lie in which boxes, with 1 cm to spare on the four sides and none in height.

    The released code decides so which objects have points and which scene points make way for pasted objects
    (`points_in_boxes_cpu`). Faces belong to the box.
    """
    wider = boxes_lidar.astype(np.float64) + np.array([0, 0, 0, 0.02, 0.02, 0, 0])
    return boxes.contains(points[:, :3].astype(np.float64), wider)


def _move(frame: Frame, new_from_old: np.ndarray) -> Frame:
    """Apply a scene transform to points, dense points and cameras; boxes are the caller's business."""
    if frame.radar is not None:
        raise ValueError(
            f"augment: frame {frame.frame_id} has radar returns, whose speeds these functions cannot move; "
            "drop them with dataclasses.replace(frame, radar=None)"
        )
    old_from_new = np.linalg.inv(new_from_old)
    kitti: KittiFrame | None = frame.kitti
    return replace(
        frame,
        points=_moved_points(frame.points, new_from_old),
        dense_points=None if frame.dense_points is None else _moved_points(frame.dense_points, new_from_old),
        cameras={name: camera.with_scene(old_from_new) for name, camera in frame.cameras.items()},
        kitti=None if kitti is None else replace(kitti, calibration=None),
    )


def _moved_points(points: np.ndarray, new_from_old: np.ndarray) -> np.ndarray:
    moved = transforms.apply(new_from_old, points[:, :3].astype(np.float64))
    return np.column_stack([moved, points[:, 3:]]).astype(np.float32)


def _mirror_columns(columns: KittiColumns | None, width: int | None) -> KittiColumns | None:
    if columns is None:
        return None
    alpha = angles.wrap_angle(math.pi - columns.alpha).astype(np.float32)
    return replace(columns, alpha=alpha, boxes_image=_mirror_boxes(columns.boxes_image, width))


def _mirror_boxes(boxes_image: np.ndarray | None, width: int | None) -> np.ndarray | None:
    if boxes_image is None or width is None:
        return boxes_image
    u0, v0, u1, v1 = boxes_image.T
    return np.stack([width - u1, v0, width - u0, v1], axis=1).astype(np.float32)


def _low_and_high(function: str, bounds: Sequence[float | int]) -> tuple[np.ndarray, np.ndarray]:
    if len(bounds) != 6 or not all(bounds[i] < bounds[i + 3] for i in range(3)):
        raise ValueError(
            f"{function}: bounds must be x0 y0 z0 x1 y1 z1 with x0 < x1 etc., got {tuple(bounds)}"
        )
    return np.array(bounds[:3], np.float64), np.array(bounds[3:], np.float64)


def _inside(xyz: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    return np.asarray(np.all((xyz >= low) & (xyz < high), axis=-1))
