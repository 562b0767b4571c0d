"""Detections in the official result format: sixteen columns, camera conventions, one file a frame."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from geom3d import kitti as geom_kitti
from geom3d.cameras import PinholeCamera
from geom3d.kitti import KittiCalibration
from jaxtyping import Float

from datasets3d import _atomic


def write_detections(
    folder: Path | str,
    frame_id: str,
    *,
    names: Sequence[str],
    boxes_lidar: Float[np.ndarray, "n 7"],
    scores: Float[np.ndarray, " n"],
    camera: PinholeCamera,
    calibration: KittiCalibration,
) -> Path:
    """Write `<folder>/<frame_id>.txt` atomically; no detections give an empty file, as the benchmark wants.

    The 2D boxes are the projected 3D boxes, clipped to the picture; a box wholly outside it is left out,
    because the benchmark cannot match it. Truncation and occlusion are written as -1 (not estimated).

    Args:
        folder: Made if missing.
        frame_id: E.g. `000123`.
        names: Class name per box.
        boxes_lidar: x y z dx dy dz yaw, metres and radians, LiDAR frame, geometric centre.
        scores: Any scale; higher is surer.
        camera: The picture's camera, not augmented.
        calibration: The frame's calibration.

    Returns:
        The file written.

    Raises:
        ValueError: Unequal lengths, or a box or score that is not finite.
    """
    if not len(names) == len(boxes_lidar) == len(scores):
        raise ValueError(
            f"write_detections: names, boxes_lidar and scores must be equally long, got {len(names)}, "
            f"{len(boxes_lidar)}, {len(scores)} for frame {frame_id}"
        )
    if not (np.isfinite(boxes_lidar).all() and np.isfinite(scores).all()):
        raise ValueError(f"write_detections: boxes_lidar or scores of frame {frame_id} are not finite")
    path = Path(folder) / f"{frame_id}.txt"
    lines = _lines(names, boxes_lidar.astype(np.float64), scores, camera, calibration) if len(names) else []
    _atomic.write_text(path, "".join(line + "\n" for line in lines))
    return path


def _lines(
    names: Sequence[str],
    boxes_lidar: np.ndarray,
    scores: np.ndarray,
    camera: PinholeCamera,
    calibration: KittiCalibration,
) -> list[str]:
    location, size_lhw, rotation_y = geom_kitti.boxes_camera_from_lidar(boxes_lidar, calibration)
    boxes_image = geom_kitti.boxes_image_from_lidar(boxes_lidar, camera)
    alpha = geom_kitti.alpha_from_boxes(boxes_lidar, calibration)
    visible = (boxes_image[:, 2] > boxes_image[:, 0]) & (boxes_image[:, 3] > boxes_image[:, 1])
    rows = np.concatenate(
        [alpha[:, None], boxes_image, size_lhw[:, [1, 2, 0]], location, rotation_y[:, None], scores[:, None]],
        axis=1,
    )
    return [
        f"{names[i]} -1 -1 " + " ".join(f"{value:.4f}" for value in rows[i])
        for i in np.flatnonzero(visible).tolist()
    ]
