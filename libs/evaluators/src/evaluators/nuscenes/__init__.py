"""nuScenes detection: mAP, the five errors and NDS, exactly as the official kit scores them."""

from evaluators.nuscenes.boxes import NuscenesBoxes, NuscenesSample, rotation_from_yaw
from evaluators.nuscenes.evaluator import NuscenesEvaluator, evaluate
from evaluators.nuscenes.protocol import (
    CLASS_OF_CATEGORY,
    DETECTION_CVPR_2019,
    TP_ERRORS,
    NuscenesClass,
    NuscenesProtocol,
)
from evaluators.nuscenes.result import NuscenesCounts, NuscenesCurve, NuscenesResult
from evaluators.nuscenes.splits import SPLITS
from evaluators.nuscenes.submission import (
    NuscenesMeta,
    NuscenesSubmission,
    evaluate_submission,
    read_submission,
    write_submission,
)
from evaluators.nuscenes.tables import read_ground_truth, read_sample_tokens

__all__ = [
    "CLASS_OF_CATEGORY",
    "DETECTION_CVPR_2019",
    "SPLITS",
    "TP_ERRORS",
    "NuscenesBoxes",
    "NuscenesClass",
    "NuscenesCounts",
    "NuscenesCurve",
    "NuscenesEvaluator",
    "NuscenesMeta",
    "NuscenesProtocol",
    "NuscenesResult",
    "NuscenesSample",
    "NuscenesSubmission",
    "evaluate",
    "evaluate_submission",
    "read_ground_truth",
    "read_sample_tokens",
    "read_submission",
    "rotation_from_yaw",
    "write_submission",
]
