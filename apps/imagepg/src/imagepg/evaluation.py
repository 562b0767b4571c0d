"""From detections to the official KITTI numbers: result files in the official format, evaluated as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from datasets3d.kitti import KittiDataset, write_detections
from evaluators.kitti import KittiResult, evaluate_folders
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


def evaluate(source: KittiDataset, folder: Path) -> dict[str, KittiResult]:
    """Return the results at the official (`strict`) and the looser overlaps; none without labels."""
    if source.label_dir is None:
        return {}
    return {
        name: evaluate_folders(source.label_dir, folder, frames=source.frame_ids, overlaps=name)
        for name in ("strict", "loose")
    }
