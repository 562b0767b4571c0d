"""From detections to the official KITTI numbers: result files in the official format, evaluated as files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from datasets3d.kitti import KittiDataset, write_detections
from evaluators.kitti import KittiResult, OverlapTable, collect_folders, table_of_classes
from fusion_models.detection.batch import Detections


def write_frame(
    folder: Path, frame_id: str, detections: Detections, *, source: KittiDataset, classes: Sequence[str]
) -> None:
    """Write the detections of one frame as `<folder>/<frame_id>.txt` (an empty file if there are none)."""
    calibration = source.calibration(frame_id)
    width, height = source.image_size(frame_id)
    write_detections(
        folder,
        frame_id,
        names=[str(classes[int(label) - 1]) for label in detections.labels],
        boxes_lidar=detections.boxes.cpu().numpy().astype(np.float32),
        scores=detections.scores.cpu().numpy().astype(np.float32),
        camera=calibration.camera(width, height),
        calibration=calibration,
    )


def overlap_tables(classes: Sequence[str], min_overlaps: Mapping[str, float]) -> dict[str, OverlapTable]:
    """Return the official (`strict`) and the looser overlaps of these classes, KITTI's or the user's own.

    Args:
        min_overlaps: By class: the overlap that a hit must exceed instead.

    Raises:
        ValueError: See `evaluators.kitti.table_of_classes`.
    """
    return {name: table_of_classes(classes, name, min_overlaps=min_overlaps) for name in ("strict", "loose")}


def evaluate(
    source: KittiDataset,
    folder: Path,
    *,
    tables: Mapping[str, OverlapTable],
    frames: Sequence[str] | None = None,
) -> dict[str, KittiResult]:
    """Return the results under each table; none without labels.

    Args:
        frames: Those to evaluate; None for all of the split.
    """
    if source.label_dir is None:
        return {}
    frames = source.frame_ids if frames is None else frames
    evaluator = collect_folders(source.label_dir, folder, frames=frames)
    return {name: evaluator.compute(overlaps=table) for name, table in tables.items()}
