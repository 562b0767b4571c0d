"""What is off in a data set, and the cure: one module per data set, and what their reports share."""

from datasets3d.check.kitti import check_kitti
from datasets3d.check.nuscenes import check_nuscenes, find_versions

__all__ = ["check_kitti", "check_nuscenes", "find_versions"]
