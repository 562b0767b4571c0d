"""The app's own part of a report: models side by side, pictures of detections, the model's inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from datasets3d.frame import Frame
from datasets3d.kitti import KittiDataset
from evaluators.kitti import KittiResult, read_predictions
from evaluators.page import Table
from fusion3d_appkit import report
from fusion3d_appkit.draw import BevView, draw_bev, draw_image
from fusion3d_appkit.report import Chapter, spread
from geom3d.kitti import boxes_lidar_from_camera

from imagepg.inside import inside_chapters, look_at_frames
from imagepg.pictures import MIN_SCORE
from imagepg.task import DetectionTask

SHOWN_FRAMES = 6
SHOWN_SCORE = MIN_SCORE
METRICS = ("bev", "3d")


def compare(results: Mapping[str, KittiResult]) -> Table:
    """Return the AP_R40 of moderate objects by class, of every model; what was not evaluated is no 0."""
    rows = []
    first = next(iter(results.values()))
    for rule in first.overlaps.classes:
        for metric in METRICS:
            curves = [result.curves.get((rule.name, metric, "moderate")) for result in results.values()]
            cells = ["-" if curve is None or not curve.evaluated else f"{curve.ap():.2f}" for curve in curves]
            rows.append([rule.name, metric, f"{rule.min_overlap(metric):g}", *cells])
    return Table(
        title="AP_R40 in percent, moderate objects (- where nothing was detected)",
        header=["class", "metric", "IoU >", *results],
        rows=rows,
    )


def picture_chapter(
    source: KittiDataset,
    detections_dir: Path,
    *,
    indices: Sequence[int],
    classes: Sequence[str],
    view: BevView,
) -> Chapter:
    """Return BEV and image overlays of some frames: labels green, detections with score >= 0.3 orange."""
    rows = []
    for index in indices:
        frame = source[index]
        boxes, scores, _ = shown_detections(source, detections_dir, frame.frame_id)
        rows.append(_frame_pictures(frame, boxes, scores, classes, view))
    text = (
        f"Labels are green, detections with a score of at least {SHOWN_SCORE} red-orange. Seen from above, "
        "the sensor is at the bottom, forward is up and darker points are higher."
    )
    return Chapter("Pictures", report.note(text) + "".join(rows))


def shown_detections(
    source: KittiDataset, detections_dir: Path, frame_id: str
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return boxes [n, 7] in the LiDAR frame, scores [n] and class names of what a picture shows."""
    found = read_predictions(detections_dir / f"{frame_id}.txt")
    assert found.score is not None, "a detection file has scores"
    boxes = boxes_lidar_from_camera(
        found.location, found.size_hwl[:, [2, 0, 1]], found.rotation_y, source.calibration(frame_id)
    )
    shown = found.score >= SHOWN_SCORE
    return boxes[shown], found.score[shown], [found.names[i] for i in np.flatnonzero(shown)]


def record_frames(
    source: KittiDataset, detections_dir: Path, *, folder: Path, count: int, classes: Sequence[str]
) -> None:
    """Write 3D recordings of the first `count` frames as `<folder>/<frame>.rrd` (needs rerun-sdk)."""
    from fusion3d_appkit.recording import record_frame

    for index in range(min(count, len(source))):
        frame = source[index]
        boxes, _, names = shown_detections(source, detections_dir, frame.frame_id)
        truth = _labelled(frame, classes)
        record_frame(folder / f"{frame.frame_id}.rrd", frame, truth=truth, found=boxes, labels=names)


def _labelled(frame: Frame, classes: Sequence[str]) -> np.ndarray:
    """Return the labelled boxes [n, 7] of these classes."""
    if frame.objects is None:
        return np.zeros((0, 7), np.float32)
    chosen = [i for i, name in enumerate(frame.objects.names) if name in classes]
    return frame.objects.boxes_lidar[chosen]


def _frame_pictures(
    frame: Frame, boxes: np.ndarray, scores: np.ndarray, classes: Sequence[str], view: BevView
) -> str:
    truth = _labelled(frame, classes)
    drawn = {"truth": truth, "found": boxes, "scores": scores}
    pictures = []
    for name, image in frame.images.items():
        overlay = draw_image(image, camera=frame.cameras[name], **drawn)
        alt = f"Camera image with {len(truth)} labels and {len(boxes)} detections drawn as boxes"
        pictures.append(report.photo(overlay, caption=f"{frame.frame_id}, {name}", alt=alt))
    above = draw_bev(frame.points, view=view, **drawn)
    alt = f"Scan from above with {len(truth)} labels and {len(boxes)} detections"
    pictures.append(report.drawing(above, caption=f"{frame.frame_id}, from above", alt=alt))
    return report.row(*pictures)


def chapters(task: DetectionTask) -> list[Chapter]:
    """Return pictures of detections, and what the model saw on its way to them."""
    data, config = task.data, task.config
    source = data.source(data.val_split)
    x0, y0, _, x1, y1, _ = config.voxels.bounds
    pictures = picture_chapter(
        source,
        task.predictions_dir,
        indices=spread(len(source), SHOWN_FRAMES),
        classes=config.class_names,
        view=BevView(x=(x0, x1), y=(y0, y1)),
    )
    return [pictures, *inside_chapters(look_at_frames(task), camera=data.image.camera)]
