"""Depth completion and estimation: the errors of dense depth maps against true depth, and their stripes."""

from evaluators.depth.evaluator import DepthEvaluator, evaluate, fill_kitti
from evaluators.depth.files import read_depth, write_depth_png
from evaluators.depth.folders import collect_folders, evaluate_folders
from evaluators.depth.protocol import (
    DELTAS,
    METRIC_NAMES,
    METRICS,
    PROTOCOLS,
    RANGE_EDGES_M,
    DepthMetric,
    DepthProtocol,
)
from evaluators.depth.result import DepthCounts, DepthResult, RangeBin
from evaluators.depth.stripes import beam_contrast, row_ripple

__all__ = [
    "DELTAS",
    "METRICS",
    "METRIC_NAMES",
    "PROTOCOLS",
    "RANGE_EDGES_M",
    "DepthCounts",
    "DepthEvaluator",
    "DepthMetric",
    "DepthProtocol",
    "DepthResult",
    "RangeBin",
    "beam_contrast",
    "collect_folders",
    "evaluate",
    "evaluate_folders",
    "fill_kitti",
    "read_depth",
    "row_ripple",
    "write_depth_png",
]
