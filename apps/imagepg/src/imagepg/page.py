"""What a run's report shows: average precisions, curves, pictures of detections, the model's inside."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from datasets3d.frame import Frame
from datasets3d.kitti import KittiDataset
from evaluators.kitti import KittiResult, read_predictions
from fusion3d_appkit import report
from fusion3d_appkit.charts import Axes, line_chart
from fusion3d_appkit.curves import loss_section
from fusion3d_appkit.draw import BevView, draw_bev, draw_image
from fusion3d_appkit.report import Section, spread
from geom3d.kitti import boxes_lidar_from_camera

from imagepg.data import KittiData
from imagepg.inside import inside_sections, look_at_frames
from imagepg.pictures import MIN_SCORE
from imagepg.task import DetectionTask

SHOWN_FRAMES = 6
SHOWN_SCORE = MIN_SCORE
LEVELS = ("easy", "moderate", "hard")
METRICS = ("2d", "bev", "3d")
OVERLAP_TITLES = {
    "strict": "official overlaps (Car 0.7, others 0.5)",
    "loose": "looser overlaps (BEV and 3D: Car 0.5, others 0.25)",
}


def metric_section(
    results: Mapping[str, KittiResult],
    classes: Sequence[str],
    *,
    untrained: Mapping[str, KittiResult] | None = None,
) -> Section:
    """Return the table of AP_R40 by class, metric and difficulty, the untrained model beside if given."""
    parts = []
    for name, result in results.items():
        header = ["class", "metric", *LEVELS]
        if untrained:
            header += [f"{level}, untrained" for level in LEVELS]
        rows = []
        for label in classes:
            for metric in METRICS:
                cells = [_ap(result, label, metric, level) for level in LEVELS]
                if untrained:
                    cells += [_ap(untrained[name], label, metric, level) for level in LEVELS]
                rows.append([label, metric.upper(), *cells])
        parts.append(report.note(OVERLAP_TITLES[name]) + report.table(header, rows))
        parts += [report.note(text) for text in result.notes()]
    return Section("Average precision (AP_R40, percent)", "".join(parts))


def _ap(result: KittiResult, label: str, metric: str, level: str) -> float | str:
    value = result.ap(label, metric, level, recall=40)  # type: ignore[arg-type]
    return "not evaluated" if value is None else value


def curve_section(results: Mapping[str, KittiResult], classes: Sequence[str]) -> Section:
    """Return precision over recall (3D, moderate), one chart per overlap table."""
    recall = np.linspace(0, 1, 41).tolist()
    charts = []
    for name, result in results.items():
        lines = {}
        for label in classes:
            curve = result.curves.get((label, "3d", "moderate"))
            if curve is not None and curve.evaluated:
                lines[label] = (recall, curve.curve.tolist())
        axes = Axes(f"3D, moderate: {OVERLAP_TITLES[name]}", "recall", "precision", (0, 1), (0, 1.02))
        charts.append(line_chart(lines, axes))
    return Section("Precision and recall", report.row(*charts))


def picture_section(
    source: KittiDataset,
    detections_dir: Path,
    *,
    indices: Sequence[int],
    classes: Sequence[str],
    view: BevView,
) -> Section:
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
    return Section("Pictures", report.note(text) + "".join(rows))


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


def record_frames(source: KittiDataset, detections_dir: Path, *, folder: Path, count: int) -> None:
    """Write 3D recordings of the first `count` frames as `<folder>/<frame>.rrd` (needs rerun-sdk)."""
    from fusion3d_appkit.recording import record_frame

    for index in range(min(count, len(source))):
        frame = source[index]
        boxes, _, names = shown_detections(source, detections_dir, frame.frame_id)
        truth = frame.objects.boxes_lidar if frame.objects is not None else boxes[:0]
        record_frame(folder / f"{frame.frame_id}.rrd", frame, truth=truth, found=boxes, labels=names)


def _frame_pictures(
    frame: Frame, boxes: np.ndarray, scores: np.ndarray, classes: Sequence[str], view: BevView
) -> str:
    truth = np.zeros((0, 7), np.float32)
    if frame.objects is not None:
        chosen = [i for i, name in enumerate(frame.objects.names) if name in classes]
        truth = frame.objects.boxes_lidar[chosen]
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


def write_run_report(
    run_dir: Path,
    data: KittiData,
    task: DetectionTask,
    *,
    title: str,
    untrained: Mapping[str, KittiResult] | None = None,
) -> None:
    """Write `results.json` and then `report.html` of the evaluation that `task` did last."""
    content = json.dumps({name: result.to_json() for name, result in task.results.items()})
    report.write_text(run_dir / "results.json", content)
    source = data.source(data.val_split)
    bounds, classes = task.config.voxels.bounds, task.config.class_names
    view = BevView(x=(bounds[0], bounds[3]), y=(bounds[1], bounds[4]))
    shown = spread(len(source), SHOWN_FRAMES)
    sections = [
        metric_section(task.results, classes, untrained=untrained),
        curve_section(task.results, classes),
        loss_section(run_dir / "metrics.jsonl"),
        picture_section(source, task.detections_dir, indices=shown, classes=classes, view=view),
        *inside_sections(look_at_frames(data, task), camera=data.image.camera),
    ]
    report.write_report(
        run_dir / "report.html",
        title=title,
        subtitle=f"{len(source)} frames of the split {data.val_split!r}, data seed {data.seed}.",
        sections=sections,
    )
