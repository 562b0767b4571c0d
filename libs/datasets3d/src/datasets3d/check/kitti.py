"""What is off in a data set laid out as KITTI's, and the cure: `python -m datasets3d check ROOT`."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from geom3d import boxes, overlap
from geom3d import kitti as geom_kitti
from geom3d.cameras import PinholeCamera
from tqdm import tqdm

from datasets3d.check.kitti_mistakes import MISTAKES, Columns
from datasets3d.check.kitti_report import FrameCheck, KittiCheckReport, ObjectCheck
from datasets3d.database import DATABASE_FOLDER, ObjectDatabase
from datasets3d.frame import Objects
from datasets3d.kitti import (
    in_view,
    objects_from_labels,
    read_image,
    read_labels,
    read_points,
    read_road_plane,
)
from datasets3d.kitti._tree import KittiTree, open_tree
from datasets3d.surfaces import SHAPES_FOLDER, ObjectShapes, published

_T = TypeVar("_T")


def check_kitti(root: Path | str, *, split: str | None = None, progress: bool = False) -> KittiCheckReport:
    """Read every file of a split (None: of all, each frame once) and measure what ought to fit together.

    Missing and damaged files end up in the report, they raise nothing: whatever `KittiDataset` refuses in one
    of the splits is named. About 0.2 s a frame.

    Raises:
        FileNotFoundError: Not a KITTI tree, or no such split if one is named.
        ValueError: An unfinished tree, no split that can be opened, or an empty split file if it is named.
    """
    root = Path(root)
    listed = sorted(p.stem for p in (root / "ImageSets").glob("*.txt"))
    wanted: dict[tuple[str, str], KittiTree] = {}
    found: list[str] = []
    # A data set may have no test frames at all; an empty list is an error only if it is asked for.
    empty = [] if split else [name for name in listed if _is_empty(root / "ImageSets" / f"{name}.txt")]
    problems: list[str] = []
    for name in [split] if split else [name for name in listed if name not in empty] or ["train"]:
        opened = (
            open_tree(root, name) if split else _attempt(lambda name=name: open_tree(root, name), problems)
        )
        if opened is not None:
            wanted |= {(opened[0].subset, frame_id): opened[0] for frame_id in opened[1]}
            found.append(name)
    if not found:
        open_tree(root, next((name for name in listed if name not in empty), "train"))
    bar = tqdm(sorted(wanted), desc="check", unit="frame", disable=not progress)
    shapes = _shapes(root, problems)
    if (root / DATABASE_FOLDER).exists():
        _attempt(lambda: ObjectDatabase.read(root / DATABASE_FOLDER), problems)
    frames = tuple(_check_frame(wanted[key], key[1], shapes) for key in bar)
    return KittiCheckReport(
        root=str(root),
        splits=tuple(found),
        frames=frames,
        tree_problems=tuple(problems),
        empty_splits=tuple(empty),
    )


def _is_empty(path: Path) -> bool:
    return path.is_file() and not path.read_bytes().strip()


def _shapes(root: Path, problems: list[str]) -> ObjectShapes:
    """Return the dense targets, none if there are none; what keeps them from being read is a problem."""
    if (root / SHAPES_FOLDER).exists():
        return _attempt(lambda: ObjectShapes.read(root), problems) or ObjectShapes(())
    return ObjectShapes(tuple(published.find_folders(root).values()))


def _check_frame(tree: KittiTree, frame_id: str, shapes: ObjectShapes) -> FrameCheck:
    problems: list[str] = []
    points = _attempt(lambda: read_points(tree.scan_path(frame_id)), problems)
    image = _attempt(lambda: read_image(tree.path("image_2", frame_id)), problems)
    calibration = _attempt(lambda: geom_kitti.read_calibration(tree.path("calib", frame_id)), problems)
    labels = None
    if tree.subset == "training":
        labels = _attempt(lambda: read_labels(tree.path("label_2", frame_id)), problems)
    plane = _attempt(lambda: read_road_plane(tree.path("planes", frame_id)), problems)
    if points is None or image is None or calibration is None:
        return FrameCheck(subset=tree.subset, frame_id=frame_id, problems=tuple(problems))
    height, width = image.shape[:2]
    camera = calibration.camera(width, height)
    objects: tuple[ObjectCheck, ...] = ()
    kept = [label for label in labels or () if not label.is_dont_care]
    if kept:
        found = objects_from_labels(kept, frame_id=frame_id, points=points, calibration=calibration)
        for source_id in found.source_id or ():
            _attempt(lambda source_id=source_id: shapes.load(source_id), problems)
        objects = _check_objects(found, Columns.of(kept, calibration), points, camera, shapes)
    return FrameCheck(
        subset=tree.subset,
        frame_id=frame_id,
        problems=tuple(problems),
        image_size=(width, height),
        num_points=len(points),
        num_in_image=int(in_view(points, camera).sum()),
        least=tuple(points.min(axis=0).tolist()) if len(points) else None,
        greatest=tuple(points.max(axis=0).tolist()) if len(points) else None,
        has_road_plane=plane is not None,
        num_dont_care=sum(label.is_dont_care for label in labels or ()),
        objects=objects,
    )


def _check_objects(
    found: Objects, columns: Columns, points: np.ndarray, camera: PinholeCamera, shapes: ObjectShapes
) -> tuple[ObjectCheck, ...]:
    labels = found.kitti
    if not found.source_id or found.num_points is None or labels is None or labels.boxes_image is None:
        return ()
    xyz, boxes_image = points[:, :3].astype(np.float64), labels.boxes_image.astype(np.float64)
    meant = [mistake.undone(columns) for mistake in MISTAKES]
    num_points_if = [boxes.contains(xyz, boxes_lidar).sum(axis=0) for boxes_lidar in meant]
    iou_if = [_iou_image(boxes_lidar, boxes_image, camera) for boxes_lidar in meant]
    iou = _iou_image(found.boxes_lidar.astype(np.float64), boxes_image, camera)
    sizes = boxes_image[:, 2:] - boxes_image[:, :2]
    return tuple(
        ObjectCheck(
            name=found.names[i],
            size_lwh=tuple(found.boxes_lidar[i, 3:6].tolist()),
            num_points=int(found.num_points[i]),
            num_points_if=tuple(int(counts[i]) for counts in num_points_if),
            iou_image=float(iou[i]),
            iou_image_if=tuple(float(ious[i]) for ious in iou_if),
            has_box_image=bool((sizes[i] > 0).all()),
            rotation_y=float(columns.rotation_y[i]),
            truncation=float(labels.truncation[i]),
            difficulty=int(labels.difficulty[i]),
            has_shape=shapes.find(found.source_id[i]) is not None,
        )
        for i in range(len(found))
    )


def _iou_image(boxes_lidar: np.ndarray, boxes_image: np.ndarray, camera: PinholeCamera) -> np.ndarray:
    projected = geom_kitti.boxes_image_from_lidar(boxes_lidar, camera)
    return np.diag(overlap.iou_2d(projected, boxes_image))


def _attempt(read: Callable[[], _T], problems: list[str]) -> _T | None:
    try:
        return read()
    except (OSError, ValueError) as error:
        problems.append(str(error).splitlines()[0])
        return None
