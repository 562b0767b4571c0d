"""A KITTI-like calibration: four cameras on a bar, rectified, none of the rotations exactly zero."""

import numpy as np
from geom3d.kitti import KittiCalibration
from jaxtyping import Float

FOCAL_PX = 721.5
CENTRE_PX = (609.5, 172.9)
BASE_SIZE = (1242, 375)
_BASELINES_M = (0.0, -0.537, 0.062, -0.471)
"""Place of cameras 0..3 along the bar, as the x offset of the projection (KITTI's: 0, -0.54, 0.06, -0.47)."""


def _rotation(roll: float, pitch: float, yaw: float) -> Float[np.ndarray, "3 3"]:
    """Small rotations about camera x (roll), y (pitch), z (yaw), radians, applied in that order."""
    cx, sx, cy, sy, cz, sz = *_cs(roll), *_cs(pitch), *_cs(yaw)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def _cs(angle: float) -> tuple[float, float]:
    return float(np.cos(angle)), float(np.sin(angle))


def calibration(*, width: int, height: int) -> KittiCalibration:
    """The calibration for a picture size; the field of view stays that of 1242 x 375."""
    scale_x, scale_y = width / BASE_SIZE[0], height / BASE_SIZE[1]
    projections = []
    for index, baseline in enumerate(_BASELINES_M):
        p = np.zeros((3, 4))
        p[0] = [FOCAL_PX * scale_x, 0.0, CENTRE_PX[0] * scale_x, FOCAL_PX * scale_x * baseline]
        p[1] = [0.0, FOCAL_PX * scale_y, CENTRE_PX[1] * scale_y, 0.0]
        p[2, 2] = 1.0
        if index >= 2:
            p[1, 3] = scale_y * (0.22 if index == 2 else 2.2)
            p[2, 3] = 0.0027
        projections.append(p)
    axes = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])
    cam_from_velo = _rotation(0.0146, 0.0068, 0.0022) @ axes
    velo_to_cam = np.concatenate([cam_from_velo, [[-0.0041], [-0.0763], [-0.2718]]], axis=1)
    imu_to_velo = np.concatenate([_rotation(0.0148, 0.002, -0.0008), [[-0.81], [0.32], [-0.8]]], axis=1)
    return KittiCalibration(
        p0=projections[0],
        p1=projections[1],
        p2=projections[2],
        p3=projections[3],
        r0_rect=_rotation(0.0043, -0.0074, -0.0098),
        velo_to_cam=velo_to_cam,
        imu_to_velo=imu_to_velo,
    )
