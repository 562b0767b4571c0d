"""How many labelled objects a folder of detections finds, and how many detections are wrong.

    python tools/count_found_objects.py --root data/kitti --split trainval --detections DIR

An object counts if it holds enough points; it is found if a detection of its class overlaps it enough: at a
3D IoU of 0.5 for cars and 0.25 for pedestrians and cyclists. A detection that overlaps no object of its class
enough is a false positive.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from datasets3d.frame import Frame
from datasets3d.kitti import KittiDataset
from evaluators.kitti import read_predictions
from geom3d.kitti import boxes_lidar_from_camera
from geom3d.overlap import iou_3d

MIN_IOU = {"Car": 0.5, "Pedestrian": 0.25, "Cyclist": 0.25}


def main() -> None:
    """Print the counts of every class and of all together."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--root", type=Path, required=True)
    options.add_argument("--split", default="val")
    options.add_argument("--detections", type=Path, required=True)
    options.add_argument("--min_points", type=int, default=10)
    options.add_argument("--min_score", type=float, default=0.3)
    chosen = options.parse_args()
    dataset = KittiDataset(chosen.root, chosen.split)
    counts = dict.fromkeys(MIN_IOU, np.zeros(3, int))
    for index in range(len(dataset)):
        for name, found in count(
            dataset[index], chosen.detections, chosen.min_points, chosen.min_score
        ).items():
            counts[name] = counts[name] + found
    for name, (found, wanted, wrong) in {**counts, "all": sum(counts.values())}.items():
        print(f"{name}: {found} of {wanted} found, {wrong} false positives in {len(dataset)} frames")


def count(frame: Frame, folder: Path, min_points: int, min_score: float) -> dict[str, np.ndarray]:
    """Return, per class, how many objects were found, how many there are, how many detections are wrong."""
    objects, calibration = frame.objects, frame.kitti.calibration if frame.kitti else None
    detections = read_predictions(folder / f"{frame.frame_id}.txt")
    assert objects is not None and calibration is not None and detections.score is not None
    assert objects.num_points is not None
    boxes = boxes_lidar_from_camera(
        detections.location, detections.size_hwl[:, [2, 0, 1]], detections.rotation_y, calibration
    )
    overlap = iou_3d(boxes, objects.boxes_lidar)
    result = {}
    for name, least in MIN_IOU.items():
        shown = (np.array(detections.names, dtype=str) == name) & (detections.score >= min_score)
        is_class = np.array(objects.names, dtype=str) == name
        hits = overlap[np.ix_(shown, is_class)] >= least
        counted = objects.num_points[is_class] >= min_points
        result[name] = np.array(
            [(hits.any(axis=0) & counted).sum(), counted.sum(), (~hits.any(axis=1)).sum()]
        )
    return result


if __name__ == "__main__":
    main()
