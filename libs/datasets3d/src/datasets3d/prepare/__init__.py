"""What training reads besides the official files, written from them: one module per data set."""

from datasets3d.prepare.kitti import Prepared, complete_kitti, cut_objects, export_published, prepare_kitti
from datasets3d.prepare.nuscenes import prepare_nuscenes

__all__ = [
    "Prepared",
    "complete_kitti",
    "cut_objects",
    "export_published",
    "prepare_kitti",
    "prepare_nuscenes",
]
