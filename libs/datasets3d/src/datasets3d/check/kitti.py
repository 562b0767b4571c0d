"""What is off in a data set laid out as KITTI's, and the cure: `python -m datasets3d check ROOT`."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from geom3d import boxes, overlap
from geom3d import kitti as geom_kitti
from geom3d.cameras import PinholeCamera
from tqdm import tqdm

from datasets3d.check.kitti_report import HYPOTHESES, FrameCheck, KittiCheckReport, ObjectCheck
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

    Missing and damaged files end up in the report, they raise nothing. About 0.2 s a frame.

    Raises:
        FileNotFoundError: Not a KITTI tree or no such split.
        ValueError: An unfinished tree or an empty split file.
    """
    root = Path(root)
    # A data set may have no test frames at all; an empty list is an error only if it is asked for.
    listed = sorted(p for p in (root / "ImageSets").glob("*.txt") if p.read_text().strip())
    splits = [split] if split else [p.stem for p in listed] or ["train"]
    wanted: dict[tuple[str, str], KittiTree] = {}
    for name in splits:
        tree, frame_ids = open_tree(root, name)
        wanted |= {(tree.subset, frame_id): tree for frame_id in frame_ids}
    bar = tqdm(sorted(wanted), desc="check", unit="frame", disable=not progress)
    frames = tuple(_check_frame(wanted[key], key[1]) for key in bar)
    return KittiCheckReport(root=str(root), splits=tuple(splits), frames=frames)


def _check_frame(tree: KittiTree, frame_id: str) -> FrameCheck:
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
    if labels is not None:
        found = objects_from_labels(labels, frame_id=frame_id, points=points, calibration=calibration)
        objects = _check_objects(found, points, camera, tree)
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
    found: Objects, points: np.ndarray, camera: PinholeCamera, tree: KittiTree
) -> tuple[ObjectCheck, ...]:
    labels = found.kitti
    if not found.source_id or found.num_points is None or labels is None or labels.boxes_image is None:
        return ()
    boxes_lidar = found.boxes_lidar.astype(np.float64)
    projected = geom_kitti.boxes_image_from_lidar(boxes_lidar, camera)
    iou = np.diag(overlap.iou_2d(projected, labels.boxes_image.astype(np.float64)))
    xyz = points[:, :3].astype(np.float64)
    ours = tree.root / SHAPES_FOLDER
    shapes = ObjectShapes((ours,) if ours.exists() else tuple(published.find_folders(tree.root).values()))
    supposed = [boxes.contains(xyz, change(boxes_lidar)).sum(axis=0) for change, _ in HYPOTHESES]
    return tuple(
        ObjectCheck(
            name=found.names[i],
            size_lwh=tuple(boxes_lidar[i, 3:6].tolist()),
            num_points=int(found.num_points[i]),
            num_points_if=tuple(int(counts[i]) for counts in supposed),
            iou_image=float(iou[i]),
            truncation=float(labels.truncation[i]),
            difficulty=int(labels.difficulty[i]),
            has_shape=shapes.find(found.source_id[i]) is not None,
        )
        for i in range(len(found))
    )


def _attempt(read: Callable[[], _T], problems: list[str]) -> _T | None:
    try:
        return read()
    except (OSError, ValueError) as error:
        problems.append(str(error).splitlines()[0])
        return None
