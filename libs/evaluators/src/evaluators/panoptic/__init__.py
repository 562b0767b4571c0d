"""Panoptic quality on SemanticKITTI and Panoptic nuScenes, as the official tools count it."""

from evaluators.panoptic.evaluator import PanopticEvaluator, evaluate
from evaluators.panoptic.files import read_panoptic_npz
from evaluators.panoptic.folders import (
    collect_folders,
    collect_nuscenes_folders,
    evaluate_folders,
    evaluate_nuscenes_folders,
)
from evaluators.panoptic.labels import PanopticLabels
from evaluators.panoptic.protocol import (
    NUSCENES,
    PROTOCOLS,
    SEMANTIC_KITTI,
    SEMANTIC_KITTI_CLASS,
    SEMANTIC_KITTI_MULTI,
    PanopticProtocol,
    panoptic_protocol,
)
from evaluators.panoptic.result import PanopticCounts, PanopticResult

__all__ = [
    "NUSCENES",
    "PROTOCOLS",
    "SEMANTIC_KITTI",
    "SEMANTIC_KITTI_CLASS",
    "SEMANTIC_KITTI_MULTI",
    "PanopticCounts",
    "PanopticEvaluator",
    "PanopticLabels",
    "PanopticProtocol",
    "PanopticResult",
    "collect_folders",
    "collect_nuscenes_folders",
    "evaluate",
    "evaluate_folders",
    "evaluate_nuscenes_folders",
    "panoptic_protocol",
    "read_panoptic_npz",
]
