"""What training reads besides the official files, written from them: one module per data set."""

from datasets3d.prepare.kitti import Prepared, prepare_kitti

__all__ = ["Prepared", "prepare_kitti"]
