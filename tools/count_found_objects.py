"""How many labelled objects of a class a folder of detections finds, and how many detections are wrong.

    python tools/count_found_objects.py --root data/kitti --split trainval --detections DIR

An object counts if it holds enough points; it is found if a detection of its class overlaps it enough. A
detection of any class that overlaps no object of its class enough is a false positive.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from datasets3d.kitti import KittiDataset
from evaluators.kitti import read_detections
from geom3d.kitti import boxes_lidar_from_camera
from geom3d.overlap import iou_3d


def main() -> None:
    """Print the counts."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--root", type=Path, required=True)
    options.add_argument("--split", default="val")
    options.add_argument("--detections", type=Path, required=True)
    options.add_argument("--cls", default="Car")
    options.add_argument("--min_points", type=int, default=10)
    options.add_argument("--min_iou", type=float, default=0.5)
    options.add_argument("--min_score", type=float, default=0.3)
    chosen = options.parse_args()
    dataset = KittiDataset(chosen.root, chosen.split)
    found = wanted = wrong = 0
    for index in range(len(dataset)):
        frame = dataset[index]
        objects, calibration = frame.objects, frame.calibration
        detections = read_detections(chosen.detections / f"{frame.frame_id}.txt")
        assert objects is not None and calibration is not None and detections.score is not None
        shown = detections.score >= chosen.min_score
        boxes = boxes_lidar_from_camera(
            detections.location, detections.size_hwl[:, [2, 0, 1]], detections.rotation_y, calibration
        )[shown]
        names = np.array(detections.names, dtype=str)[shown]
        hits = iou_3d(boxes, objects.boxes_lidar) >= chosen.min_iou
        hits &= names[:, None] == np.array(objects.names, dtype=str)[None]
        counted = np.array([name == chosen.cls for name in objects.names], bool)
        counted &= objects.num_points >= chosen.min_points
        wanted += int(counted.sum())
        found += int((hits.any(axis=0) & counted).sum())
        wrong += int((~hits.any(axis=1)).sum())
    print(f"{chosen.cls}: {found} of {wanted} found, {wrong} false positives in {len(dataset)} frames")


if __name__ == "__main__":
    main()
