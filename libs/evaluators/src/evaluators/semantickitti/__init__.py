"""SemanticKITTI segmentation of single scans, several scans and moving objects, as the official tool does."""

from evaluators.semantickitti.files import (
    frame_path,
    list_frames,
    pair_frames,
    read_label_file,
    read_points,
    write_label_file,
)
from evaluators.semantickitti.protocol import (
    LABEL_MAPS,
    MOVING,
    MULTI_SCAN,
    RANGES_M,
    SINGLE_SCAN,
    SPLITS,
    LabelMap,
    label_map,
    plain_map,
)

__all__ = [
    "LABEL_MAPS",
    "MOVING",
    "MULTI_SCAN",
    "RANGES_M",
    "SINGLE_SCAN",
    "SPLITS",
    "LabelMap",
    "frame_path",
    "label_map",
    "list_frames",
    "pair_frames",
    "plain_map",
    "read_label_file",
    "read_points",
    "write_label_file",
]
