"""KITTI object detection: 2D, orientation, bird's eye view and 3D, exactly as the official kit scores it."""

from evaluators.kitti.evaluator import KittiEvaluator, evaluate
from evaluators.kitti.files import read_detections, read_labels
from evaluators.kitti.folders import collect_folders, evaluate_folders, read_frame_list
from evaluators.kitti.objects import KittiObjects
from evaluators.kitti.protocol import (
    CAR,
    CYCLIST,
    DIFFICULTIES,
    EASY,
    HARD,
    LOOSE,
    LOOSE_EXTENDED,
    MODERATE,
    PEDESTRIAN,
    PERSON_SITTING,
    STRICT,
    STRICT_EXTENDED,
    TABLES,
    TRUCK,
    VAN,
    ClassRule,
    Difficulty,
    OverlapTable,
)
from evaluators.kitti.result import KittiCounts, KittiCurve, KittiResult

__all__ = [
    "CAR",
    "CYCLIST",
    "DIFFICULTIES",
    "EASY",
    "HARD",
    "LOOSE",
    "LOOSE_EXTENDED",
    "MODERATE",
    "PEDESTRIAN",
    "PERSON_SITTING",
    "STRICT",
    "STRICT_EXTENDED",
    "TABLES",
    "TRUCK",
    "VAN",
    "ClassRule",
    "Difficulty",
    "KittiCounts",
    "KittiCurve",
    "KittiEvaluator",
    "KittiObjects",
    "KittiResult",
    "OverlapTable",
    "collect_folders",
    "evaluate",
    "evaluate_folders",
    "read_detections",
    "read_frame_list",
    "read_labels",
]
