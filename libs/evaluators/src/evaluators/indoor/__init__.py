"""Indoor 3D detection: mAP and recall at IoU thresholds on ScanNet, SUN RGB-D, ScanNet-md40 and TO-SCENE."""

from evaluators.indoor.boxes import IndoorBoxes
from evaluators.indoor.evaluator import IndoorEvaluator, evaluate
from evaluators.indoor.files import read_ground_truth, read_predictions, write_boxes
from evaluators.indoor.folders import collect_folders, evaluate_folders
from evaluators.indoor.protocol import (
    SCANNET,
    SCANNET_MD40,
    SUNRGBD,
    TABLES,
    THRESHOLDS,
    TO_SCENE,
    ClassSubset,
    ClassTable,
    MeanOver,
    Protocol,
)
from evaluators.indoor.result import IndoorCounts, IndoorCurve, IndoorResult

__all__ = [
    "SCANNET",
    "SCANNET_MD40",
    "SUNRGBD",
    "TABLES",
    "THRESHOLDS",
    "TO_SCENE",
    "ClassSubset",
    "ClassTable",
    "IndoorBoxes",
    "IndoorCounts",
    "IndoorCurve",
    "IndoorEvaluator",
    "IndoorResult",
    "MeanOver",
    "Protocol",
    "collect_folders",
    "evaluate",
    "evaluate_folders",
    "read_ground_truth",
    "read_predictions",
    "write_boxes",
]
