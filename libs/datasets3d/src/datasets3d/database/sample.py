"""Pasting database objects into a frame so that scan and picture stay consistent."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from geom3d import cameras, overlap
from geom3d import kitti as geom_kitti
from geom3d.cameras import PinholeCamera

from datasets3d._validate import check_class_names, check_within
from datasets3d.augment import points_in_boxes
from datasets3d.database import _paste
from datasets3d.database.store import DatabaseEntry, ObjectDatabase
from datasets3d.frame import Frame, KittiColumns, Objects, check_same_columns
from datasets3d.kitti.labels import KITTI_CLASSES


def _default_counts() -> dict[str, int]:
    return {"Car": 15, "Pedestrian": 10, "Cyclist": 10}


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingConfig:
    """How many objects to paste, and which. Defaults: ImagePG kitti_dataset.yaml, gt_sampling."""

    counts: Mapping[str, int] = field(default_factory=_default_counts)
    """Objects of each class wanted in the frame, those already there included. Source: SAMPLE_GROUPS."""
    min_points: int = 5
    """Objects with fewer points are not pasted. Source: filter_by_min_points."""
    excluded_difficulties: tuple[int, ...] = (-1,)
    """Source: filter_by_difficulty."""
    max_overlap_image: float = 0.5
    """2D IoU with a labelled box, or another object drawn for the class, from which one is rejected. Source:
    IMG_AUG_IOU_THRESH."""
    cleared_extra_m: tuple[float, float, float] = (0.0, 0.0, -0.2)
    """Added to the box sizes before scene points inside are removed. Source: REMOVE_EXTRA_WIDTH."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name, count in self.counts.items():
            if count < 0:
                raise ValueError(f"SamplingConfig.counts[{name!r}] must not be negative, got {count}")
        check_within(self, (0, 1), "max_overlap_image")


def sample_objects(
    frame: Frame, database: ObjectDatabase, config: SamplingConfig, rng: np.random.Generator
) -> Frame:
    """Paste objects of other frames into the scan and the picture, before any geometric augmentation.

    For each class as many objects are drawn as the frame lacks. One is rejected if it touches an object, one
    pasted before it, or another one drawn for its class, seen from above, or if it overlaps a labelled box or
    another one drawn for its class too much in the picture, put on the road plane (where the frame has one).
    The rest is moved so that the frame's camera sees it at the pixel and depth at which its own camera would,
    and its box refitted; scene points in its box go; its crop is pasted, later ones over earlier ones, and
    only those of its points stay whose pixel is its own in the end. Scene points are kept even behind a
    pasted crop.

    Differences from the released code (`gt_sampling_mbm` of ImagePG):

    * Objects are drawn afresh and without repetition for each frame, instead of from one shuffled list that
      runs through an epoch in every worker: a frame then depends on its seed alone.
    * The original objects' crops are not pasted a second time: it changes nothing.
    * Crops hold the labelled box and a quarter of its size around it, not the whole picture, so a paste much
      larger than its source's box is cut a little more.
    * Pixels are projected with the whole matrix, the box is refitted in the LiDAR frame, and a box that
      reaches behind the camera is cut there. The released code divides by the rectified depth and refits a
      camera box, which turns boxes by thousandths of a radian and moves pixels by tenths.
    * Objects beside the picture are rejected at once and points behind the camera go. There such an object
      loses all its points, and so its label, but clears the scene and leaves its dense target behind.
    * A frame without a road plane is no error: objects keep the height of their own frame.
    * Difficulties count the height of 2D boxes as the benchmark does, without the extra pixel of OpenPCDet.

    New objects follow the old ones; dense points are not touched (call `add_dense_points` afterwards).

    Raises:
        ValueError: No labels or no camera, a frame already flipped or scaled, a database whose objects have
            no pictures or other columns than the frame's points, or a class that neither KITTI nor the
            database has. A known class that this database happens to lack is skipped.
    """
    _check_frame(frame)
    check_same_columns(
        "sample_objects",
        {f"frame {frame.frame_id}": frame.point_columns, "the database": database.point_columns},
    )
    check_class_names(tuple(config.counts), known=tuple({*KITTI_CLASSES, *database.by_class}))
    placed = _Placed.of_frame(frame)
    for class_name, count in config.counts.items():
        entries = _draw(database, config, class_name, count - placed.names.count(class_name), rng)
        placed = placed.extended(_admit(entries, frame, placed, database, config))
    if not placed.new:
        return frame
    return _paste_all(frame, placed.new, database, config)


@dataclass(frozen=True, slots=True)
class _Candidate:
    """One object on its way into the frame."""

    entry: DatabaseEntry
    shift_z_m: float
    """From where its own camera saw it down (or up) to the road."""
    box: np.ndarray
    """[7] in the frame, refitted."""
    box_image: np.ndarray
    """[4] u0 v0 u1 v1 in the frame's picture."""


@dataclass(frozen=True, slots=True)
class _Placed:
    """What already stands in the scene."""

    names: tuple[str, ...]
    boxes: np.ndarray
    labelled_image: np.ndarray
    """[m, 4] the frame's own 2D boxes."""
    new: tuple[_Candidate, ...]

    @classmethod
    def of_frame(cls, frame: Frame) -> "_Placed":
        objects = frame.objects or Objects.empty()
        boxes_lidar = objects.boxes_lidar.astype(np.float64)
        labelled = None if objects.kitti is None else objects.kitti.boxes_image
        if labelled is None:
            labelled = geom_kitti.boxes_image_from_lidar(boxes_lidar, _camera(frame))
        return cls(objects.names, boxes_lidar, labelled.astype(np.float64), ())

    def extended(self, new: list[_Candidate]) -> "_Placed":
        # Positions as drawn, before the cameras' differences are made up for, decide about collisions.
        drawn = np.array([c.entry.box_lidar for c in new], np.float64).reshape(-1, 7)
        return replace(self, boxes=np.concatenate([self.boxes, drawn]), new=(*self.new, *new))


def _draw(
    database: ObjectDatabase, config: SamplingConfig, class_name: str, lacking: int, rng: np.random.Generator
) -> list[DatabaseEntry]:
    if lacking <= 0:
        return []
    pool = _pool(database, class_name, config)
    chosen = rng.choice(pool, size=min(lacking, len(pool)), replace=False)
    return [database.entries[i] for i in chosen.tolist()]


def _admit(
    entries: list[DatabaseEntry],
    frame: Frame,
    placed: _Placed,
    database: ObjectDatabase,
    config: SamplingConfig,
) -> list[_Candidate]:
    """Place the drawn objects of one class and reject those in the way."""
    if not entries:
        return []
    drawn = np.array([entry.box_lidar for entry in entries], np.float64).reshape(-1, 7)
    on_road = drawn.copy()
    on_road[:, 2] += _shifts_to_road(drawn, frame)
    # Those in the way hide others all the same, as in the released code.
    rejected = _collides(drawn, placed.boxes) | _hides(
        geom_kitti.boxes_image_from_lidar(on_road, _camera(frame)),
        placed.labelled_image,
        config.max_overlap_image,
    )
    return [_place(entries[i], on_road[i], frame, database) for i in np.flatnonzero(~rejected)]


def _pool(database: ObjectDatabase, class_name: str, config: SamplingConfig) -> np.ndarray:
    indices = database.by_class.get(class_name, np.zeros(0, np.int64))
    excluded = np.isin(database.difficulty[indices], config.excluded_difficulties)
    return indices[(database.num_points[indices] >= config.min_points) & ~excluded]


def _collides(drawn: np.ndarray, standing: np.ndarray) -> np.ndarray:
    """Mark drawn boxes that touch a standing one or each other (then both go), seen from above."""
    among = overlap.intersection_bev(drawn, drawn)
    np.fill_diagonal(among, 0.0)
    with_standing = overlap.intersection_bev(drawn, standing)
    return np.asarray((among > 0).any(axis=1) | (with_standing > 0).any(axis=1))


def _hides(found: np.ndarray, labelled: np.ndarray, max_overlap: float) -> np.ndarray:
    """Mark 2D boxes outside the picture, or overlapping a labelled object or each other too much in it."""
    among = overlap.iou_2d(found, found)
    np.fill_diagonal(among, 0.0)
    crowded = (among >= max_overlap).any(axis=1) | (overlap.iou_2d(found, labelled) >= max_overlap).any(
        axis=1
    )
    return crowded | (found[:, 2] <= found[:, 0]) | (found[:, 3] <= found[:, 1])


def _shifts_to_road(drawn: np.ndarray, frame: Frame) -> np.ndarray:
    """Return how far [m] each box must rise to stand on the frame's road plane; 0 without one."""
    plane = None if frame.kitti is None else frame.kitti.road_plane
    if plane is None:
        return np.zeros(len(drawn))
    bottom = drawn[:, 2] - drawn[:, 5] / 2
    return _paste.road_height(drawn[:, :3], plane, _camera(frame)) - bottom


def _place(entry: DatabaseEntry, on_road: np.ndarray, frame: Frame, database: ObjectDatabase) -> _Candidate:
    """Let the frame's camera see an object, put on the road, as its own camera would."""
    target, source = _camera(frame), database.cameras[entry.frame_id]
    moved = _paste.reproject_box(on_road, source=source, target=target)
    box_image = geom_kitti.boxes_image_from_lidar(moved[None], target)[0]
    return _Candidate(entry, float(on_road[2] - entry.box_lidar[2]), moved, box_image)


def _paste_all(
    frame: Frame, new: tuple[_Candidate, ...], database: ObjectDatabase, config: SamplingConfig
) -> Frame:
    camera_name = next(iter(frame.cameras))
    image = frame.images.get(camera_name)
    camera = _camera(frame)
    canvas = _paste.Canvas(np.zeros((camera.height, camera.width, 3), np.uint8) if image is None else image)
    for number, candidate in enumerate(new):
        seen = candidate.entry.labelled_image()
        canvas.paste(
            number,
            database.crop(candidate.entry),
            crop_origin=seen.crop_origin,
            source_box=seen.box_image,
            box=candidate.box_image,
        )
    pasted = [_visible_points(c, number, canvas, frame, database) for number, c in enumerate(new)]
    boxes_new = np.array([c.box for c in new])
    cleared = boxes_new + np.array([0, 0, 0, *config.cleared_extra_m, 0])
    covered = points_in_boxes(frame.points, cleared).any(axis=1)
    assert frame.objects is not None
    return replace(
        frame,
        points=np.concatenate([*pasted, frame.points[~covered]]).astype(np.float32),
        images=frame.images if image is None else {**frame.images, camera_name: canvas.image},
        objects=Objects.concatenate(frame.objects, _as_objects(new, [len(points) for points in pasted])),
    )


def _visible_points(
    candidate: _Candidate, number: int, canvas: _paste.Canvas, frame: Frame, database: ObjectDatabase
) -> np.ndarray:
    """Return the object's points [n, c] in the frame whose pixel it owns."""
    camera = _camera(frame)
    points = database.points(candidate.entry).astype(np.float64)
    points[:, :3] += candidate.entry.box_lidar[:3]
    points[:, 2] += candidate.shift_z_m
    source = database.cameras[candidate.entry.frame_id]
    points[:, :3] = _paste.reproject(points[:, :3], source=source, target=camera)
    uv, depth_m = cameras.project(points[:, :3], camera.image_from_lidar)
    # Behind the camera a pixel means nothing, and its number may not even fit an integer.
    in_front = depth_m > 0
    owned = canvas.owned(np.where(in_front[:, None], uv, -1.0), number)
    return points[owned & in_front]


def _as_objects(new: tuple[_Candidate, ...], num_points: list[int]) -> Objects:
    entries = [c.entry for c in new]
    seen = [entry.labelled_image() for entry in entries]
    return Objects(
        names=tuple(e.name for e in entries),
        boxes_lidar=np.array([c.box for c in new], np.float32),
        num_points=np.array(num_points, np.int32),
        source_id=tuple(e.source_id for e in entries),
        kitti=KittiColumns(
            truncation=np.array([s.truncation for s in seen], np.float32),
            occlusion=np.array([s.occlusion for s in seen], np.int32),
            alpha=np.array([s.alpha for s in seen], np.float32),
            difficulty=np.array([s.difficulty for s in seen], np.int32),
            boxes_image=np.array([c.box_image for c in new], np.float32),
        ),
    )


def _camera(frame: Frame) -> PinholeCamera:
    return next(iter(frame.cameras.values()))


def _check_frame(frame: Frame) -> None:
    where = f"sample_objects: frame {frame.frame_id}"
    if frame.objects is None:
        raise ValueError(f"{where} has no labels; paste objects into labelled (training) frames only")
    if len(frame.cameras) != 1:
        raise ValueError(
            f"{where} has cameras {sorted(frame.cameras)}; exactly one is needed to keep it consistent"
        )
    turn = _camera(frame).cam_from_lidar[:3, :3]
    if not np.allclose(turn @ turn.T, np.eye(3), atol=1e-3) or np.linalg.det(turn) < 0:
        raise ValueError(f"{where} was flipped or scaled before; call sample_objects first")
