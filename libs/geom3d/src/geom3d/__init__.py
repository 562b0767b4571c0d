"""Boxes, cameras, calibrations, rigid transforms and overlap for 3D perception."""

from geom3d import angles, boxes, cameras, depth, frustum, kitti, nuscenes, overlap, scannet, text, transforms
from geom3d.cameras import PinholeCamera
from geom3d.kitti import KittiCalibration

__version__ = "0.1.0"

__all__ = [
    "KittiCalibration",
    "PinholeCamera",
    "angles",
    "boxes",
    "cameras",
    "depth",
    "frustum",
    "kitti",
    "nuscenes",
    "overlap",
    "scannet",
    "text",
    "transforms",
]
