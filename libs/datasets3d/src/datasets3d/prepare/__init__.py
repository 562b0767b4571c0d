"""What training reads besides the official files, written from them: one module per data set."""

from datasets3d.prepare.kitti import Prepared, complete_kitti, cut_objects, export_published, prepare_kitti
from datasets3d.prepare.nuscenes import prepare_nuscenes
from datasets3d.prepare.semantickitti import PreparedScans, SplitStatistics, prepare_semantickitti

__all__ = [
    "Prepared",
    "PreparedScans",
    "SplitStatistics",
    "complete_kitti",
    "cut_objects",
    "export_published",
    "prepare_kitti",
    "prepare_nuscenes",
    "prepare_semantickitti",
]
