"""What is off in a data set, and the cure: one module per data set, and what their reports share."""

from pathlib import Path

from datasets3d.check.kitti import check_kitti
from datasets3d.check.nuscenes import check_nuscenes, find_versions
from datasets3d.check.report import CheckReport
from datasets3d.check.semantickitti import check_semantickitti, is_semantickitti

__all__ = ["CheckReport", "check", "check_kitti", "check_nuscenes", "check_semantickitti"]


def check(root: Path | str, *, split: str | None = None, progress: bool = False) -> CheckReport:
    """Check a data set in whichever of the known layouts it is; errors as of the check of that layout."""
    if is_semantickitti(root):
        return check_semantickitti(root, split=split, progress=progress)
    check_layout = check_nuscenes if find_versions(root) else check_kitti
    return check_layout(root, split=split, progress=progress)
