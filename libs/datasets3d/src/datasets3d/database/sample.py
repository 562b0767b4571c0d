"""Pasting database objects into a frame so that scan and picture stay consistent."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from geom3d import boxes, cameras, overlap
from geom3d import kitti as geom_kitti
from geom3d.cameras import PinholeCamera

from datasets3d.database import _paste
from datasets3d.database.store import DatabaseEntry, ObjectDatabase
from datasets3d.frame import Frame, Objects
from datasets3d.kitti.labels import KITTI_CLASSES, check_class_names


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
    """2D IoU with a labelled box or another candidate of the class from which a candidate is rejected."""
    cleared_extra_m: tuple[float, float, float] = (0.0, 0.0, -0.2)
    """Added to the box sizes before scene points inside are removed. Source: REMOVE_EXTRA_WIDTH."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name, count in self.counts.items():
            if count < 0:
                raise ValueError(f"SamplingConfig.counts[{name!r}] must not be negative, got {count}")
        if not 0 <= self.max_overlap_image <= 1:
            raise ValueError(
                f"SamplingConfig.max_overlap_image must lie in 0..1, got {self.max_overlap_image}"
            )


def sample_objects(
    frame: Frame, database: ObjectDatabase, config: SamplingConfig, rng: np.random.Generator
) -> Frame:
    """Paste objects of other frames into the scan and the picture, before any geometric augmentation.

    For each class as many objects are drawn as the frame lacks. A candidate is rejected if it touches an
    object or another candidate seen from above, or overlaps too much in the picture. The rest is put on the
    road plane (where the frame has one), moved so that the frame's camera sees it at the pixel and depth at
    which its own camera did, and its box refitted; scene points in its box go; its crop is pasted, later ones
    over earlier ones, and only those of its points stay whose pixel is its own in the end. Scene points are
    kept even behind a pasted crop.

    Differences from the published pipeline: objects are drawn afresh and without repetition for each frame,
    instead of from one shuffled list that runs through an epoch; the original objects' crops are not pasted a
    second time (it changes nothing, because pasted objects lie over them anyway); crops hold the labelled box
    and a quarter of its size around it, not the whole picture.

    New objects follow the old ones; dense points are not touched (call `add_dense_points` afterwards).

    Raises:
        ValueError: No labels or no camera, a frame already flipped or scaled, per-point labels (which pasted
            points lack), or a class that neither KITTI nor the database has. A known class that this database
            happens to lack is skipped.
    """
    _check_frame(frame)
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
        labelled = objects.boxes_image
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
    free = ~_collides(drawn, placed.boxes)
    candidates = [_place(entries[i], frame, database) for i in np.flatnonzero(free)]
    seen = ~_hides(candidates, placed.labelled_image, config.max_overlap_image)
    return [candidate for candidate, keep in zip(candidates, seen.tolist(), strict=True) if keep]


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


def _hides(candidates: list[_Candidate], labelled: np.ndarray, max_overlap: float) -> np.ndarray:
    """Mark candidates outside the picture, or overlapping a labelled object or each other too much in it."""
    found = np.array([c.box_image for c in candidates], np.float64).reshape(-1, 4)
    among = overlap.iou_2d(found, found)
    np.fill_diagonal(among, 0.0)
    crowded = (among >= max_overlap).any(axis=1) | (overlap.iou_2d(found, labelled) >= max_overlap).any(
        axis=1
    )
    return crowded | (found[:, 2] <= found[:, 0]) | (found[:, 3] <= found[:, 1])


def _place(entry: DatabaseEntry, frame: Frame, database: ObjectDatabase) -> _Candidate:
    """Put an object on the road and let the frame's camera see it as its own camera did."""
    target, source = _camera(frame), database.cameras[entry.frame_id]
    box = np.array(entry.box_lidar, np.float64)
    shift_z_m = 0.0
    if frame.road_plane is not None:
        bottom = box[2] - box[5] / 2
        shift_z_m = float(_paste.road_height(box[None, :3], frame.road_plane, target)[0] - bottom)
    box[2] += shift_z_m
    moved = _paste.reproject_box(box, source=source, target=target)
    box_image = geom_kitti.boxes_image_from_lidar(moved[None], target)[0]
    return _Candidate(entry, shift_z_m, moved, box_image)


def _paste_all(
    frame: Frame, new: tuple[_Candidate, ...], database: ObjectDatabase, config: SamplingConfig
) -> Frame:
    camera_name = next(iter(frame.cameras))
    image = frame.images.get(camera_name)
    camera = _camera(frame)
    canvas = _paste.Canvas(np.zeros((camera.height, camera.width, 3), np.uint8) if image is None else image)
    for number, candidate in enumerate(new):
        canvas.paste(
            number,
            database.crop(candidate.entry),
            crop_origin=candidate.entry.crop_origin,
            source_box=candidate.entry.box_image,
            box=candidate.box_image,
        )
    pasted = [_visible_points(c, number, canvas, frame, database) for number, c in enumerate(new)]
    boxes_new = np.array([c.box for c in new])
    cleared = boxes_new + np.array([0, 0, 0, *config.cleared_extra_m, 0])
    covered = boxes.contains(frame.points[:, :3].astype(np.float64), cleared).any(axis=1)
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
    """Return the object's points [n, 4] in the frame whose pixel it owns."""
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
    return Objects(
        names=tuple(e.name for e in entries),
        boxes_lidar=np.array([c.box for c in new], np.float32),
        boxes_image=np.array([c.box_image for c in new], np.float32),
        truncation=np.array([e.truncation for e in entries], np.float32),
        occlusion=np.array([e.occlusion for e in entries], np.int32),
        alpha=np.array([e.alpha for e in entries], np.float32),
        difficulty=np.array([e.difficulty for e in entries], np.int32),
        num_points=np.array(num_points, np.int32),
        source_id=tuple(e.source_id for e in entries),
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
    if frame.semantics is not None or frame.instances is not None:
        raise ValueError(f"{where} has per-point labels, which pasted points lack; drop them first")
    turn = _camera(frame).cam_from_lidar[:3, :3]
    if not np.allclose(turn @ turn.T, np.eye(3), atol=1e-3) or np.linalg.det(turn) < 0:
        raise ValueError(f"{where} was flipped or scaled before; call sample_objects first")
