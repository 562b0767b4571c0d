"""SemanticKITTI segmentation of single scans, several scans and moving objects, as the official tool does."""

from evaluators.semantickitti._checker import check_submission
from evaluators.semantickitti.confusion import SegmentationScores, confusion_matrix, segmentation_scores
from evaluators.semantickitti.evaluator import SemanticKittiEvaluator, evaluate
from evaluators.semantickitti.files import (
    frame_path,
    list_frames,
    pair_frames,
    read_label_file,
    read_points,
    write_label_file,
)
from evaluators.semantickitti.folders import collect_folders, evaluate_folders
from evaluators.semantickitti.protocol import (
    ABSENT_RULES,
    LABEL_MAPS,
    MOVING,
    MULTI_SCAN,
    RANGES_M,
    SINGLE_SCAN,
    SPLITS,
    TEST_SCANS,
    LabelMap,
    label_map,
    plain_map,
)
from evaluators.semantickitti.result import SemanticKittiCounts, SemanticKittiResult
from evaluators.semantickitti.submission import (
    SubmissionReport,
    expected_scans,
    write_prediction,
    zip_submission,
)

__all__ = [
    "ABSENT_RULES",
    "LABEL_MAPS",
    "MOVING",
    "MULTI_SCAN",
    "RANGES_M",
    "SINGLE_SCAN",
    "SPLITS",
    "TEST_SCANS",
    "LabelMap",
    "SegmentationScores",
    "SemanticKittiCounts",
    "SemanticKittiEvaluator",
    "SemanticKittiResult",
    "SubmissionReport",
    "check_submission",
    "collect_folders",
    "confusion_matrix",
    "evaluate",
    "evaluate_folders",
    "expected_scans",
    "frame_path",
    "label_map",
    "list_frames",
    "pair_frames",
    "plain_map",
    "read_label_file",
    "read_points",
    "segmentation_scores",
    "write_label_file",
    "write_prediction",
    "zip_submission",
]
