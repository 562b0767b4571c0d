"""Waymo Open Dataset 3D detection: AP and APH per type, level and range, on arrays."""

from evaluators.waymo.evaluator import WaymoEvaluator, evaluate
from evaluators.waymo.folders import collect_folders, evaluate_folders, read_ground_truth, read_predictions
from evaluators.waymo.objects import WaymoGroundTruth, WaymoPredictions
from evaluators.waymo.protocol import LEVELS, RANGES, SCORE_CUTOFFS, TYPE_NAMES, TYPES, ObjectType
from evaluators.waymo.result import WaymoCounts, WaymoCurve, WaymoResult, average_precision

__all__ = [
    "LEVELS",
    "RANGES",
    "SCORE_CUTOFFS",
    "TYPES",
    "TYPE_NAMES",
    "ObjectType",
    "WaymoCounts",
    "WaymoCurve",
    "WaymoEvaluator",
    "WaymoGroundTruth",
    "WaymoPredictions",
    "WaymoResult",
    "average_precision",
    "collect_folders",
    "evaluate",
    "evaluate_folders",
    "read_ground_truth",
    "read_predictions",
]
