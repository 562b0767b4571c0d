"""SemanticKITTI: official files as labelled scans, label tables, label files in the official format."""

from datasets3d._label_files import join_labels, read_labels, split_labels, write_labels
from datasets3d.semantickitti.dataset import SWEEP_COLUMNS, SemanticKittiDataset, read_scan
from datasets3d.semantickitti.files import label_path
from datasets3d.semantickitti.labels import (
    MOVING,
    MULTI_SCAN,
    RAW_IDS,
    SCANS,
    SINGLE_SCAN,
    SPLITS,
    SPVNAS,
    TABLES,
    RawId,
)
from datasets3d.semantickitti.poses import lidar_poses, read_calibration, read_poses, read_times

__all__ = [
    "MOVING",
    "MULTI_SCAN",
    "RAW_IDS",
    "SCANS",
    "SINGLE_SCAN",
    "SPLITS",
    "SPVNAS",
    "SWEEP_COLUMNS",
    "TABLES",
    "RawId",
    "SemanticKittiDataset",
    "join_labels",
    "label_path",
    "lidar_poses",
    "read_calibration",
    "read_labels",
    "read_poses",
    "read_scan",
    "read_times",
    "split_labels",
    "write_labels",
]
