"""From overlaps to curves: flags, thresholds and counts of one class at one level."""

# The compiled kernels carry no types.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import numpy as np

from evaluators.kitti._packing import Packed
from evaluators.kitti.protocol import RECALL_POSITIONS, ClassRule, Difficulty, Metric
from evaluators.kitti.result import KittiCurve

_OVERLAP_COLUMN = {"2d": 0, "bev": 1, "3d": 2}


def is_evaluated(packed: Packed, rule: ClassRule, metric: Metric) -> bool:
    """Return whether any detection of the class has what `metric` compares, as the official kit asks."""
    det = packed.det
    usable = {"bev": det.has_ground_box, "3d": det.has_3d_box}.get(metric, det.image[:, 0] >= 0)
    return bool(np.any(usable & (det.codes == packed.code(rule.name))))


def ground_truth_flags(packed: Packed, rule: ClassRule, level: Difficulty) -> np.ndarray:
    """Return int8 [ground truth]: 0 counts, 1 ignored, -1 irrelevant."""
    gt = packed.gt
    is_class = gt.codes == packed.code(rule.name)
    is_neighbour = np.isin(gt.codes, [packed.code(name) for name in rule.neighbours])
    fits = (
        (gt.occluded <= level.max_occlusion)
        & (gt.truncated <= level.max_truncation)
        & (gt.heights_px > level.min_height_px)
        & _in_range(gt.depth_m, level)
    )
    return np.where(is_class, np.where(fits, 0, 1), np.where(is_neighbour, 1, -1)).astype(np.int8)


def detection_flags(packed: Packed, rule: ClassRule, level: Difficulty) -> np.ndarray:
    """Return int8 [detections]: 0 counts, 1 ignored (too small, whatever its class), -1 irrelevant."""
    det = packed.det
    ignored = (det.heights_px < level.min_height_px) | ~_in_range(det.depth_m, level)
    return np.where(ignored, 1, np.where(det.codes == packed.code(rule.name), 0, -1)).astype(np.int8)


def _in_range(depth_m: np.ndarray, level: Difficulty) -> np.ndarray:
    near, far = level.depth_m
    return (depth_m >= near) & (depth_m < far)


def match(
    packed: Packed, rule: ClassRule, level: Difficulty, metric: Metric
) -> tuple[KittiCurve, KittiCurve]:
    """Return the precision curve of `metric` (2d, bev or 3d) and the orientation curve of the same matching.

    The second is the aos result if `metric` is 2d. Cost: 41 passes over the pairs above the minimum overlap.
    """
    from evaluators.kitti import _kernels

    minimum = rule.min_overlap(metric)
    gt_flags = ground_truth_flags(packed, rule, level)
    det_flags = detection_flags(packed, rule, level)
    overlaps = packed.overlaps[:, _OVERLAP_COLUMN[metric]]
    kept = (gt_flags[packed.pair_gt] >= 0) & (det_flags[packed.pair_det] >= 0) & (overlaps > minimum)
    pair_gt, pair_det = packed.pair_gt[kept], packed.pair_det[kept]
    scores = packed.det.scores

    n_gt = int(np.count_nonzero(gt_flags == 0))
    found = np.sort(_kernels.matched_scores(pair_gt, pair_det, gt_flags, det_flags, scores))[::-1].copy()
    thresholds = _kernels.sampled_thresholds(found, n_gt)
    # A false positive inside a DontCare region is forgiven in the image only: the regions have no 3D box.
    forgiven = packed.covered > minimum if metric == "2d" else np.zeros(len(scores), dtype=np.bool_)
    alpha_gaps = packed.gt.alpha_rad[pair_gt] - packed.det.alpha_rad[pair_det]
    counts, similarity = _kernels.count_matches(
        pair_gt, pair_det, overlaps[kept], gt_flags, det_flags, scores, alpha_gaps, forgiven, thresholds
    )
    candidates = np.sort(scores[(det_flags == 0) & ~forgiven])
    tp = counts[:, 0]
    fp = len(candidates) - np.searchsorted(candidates, thresholds, side="left") - counts[:, 2]

    def curve(numerator: np.ndarray) -> KittiCurve:
        return KittiCurve(
            evaluated=True,
            n_gt=n_gt,
            n_gt_ignored=int(np.count_nonzero(gt_flags == 1)),
            n_det=int(np.count_nonzero(det_flags == 0)),
            n_det_ignored=int(np.count_nonzero(det_flags == 1)),
            thresholds=thresholds,
            tp=tp,
            fp=fp,
            fn=n_gt - tp - counts[:, 1],
            curve=_right_maximum(numerator, tp + fp),
        )

    return curve(tp), curve(similarity)


def _right_maximum(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Return numerator / denominator, 0 beyond the last threshold, made non-increasing from the right."""
    curve = np.zeros(RECALL_POSITIONS)
    # 0/0 needs every hit of pass 1 to be absorbed in pass 2: no hit, so 0.
    curve[: len(numerator)] = numerator / np.maximum(denominator, 1)
    return np.maximum.accumulate(curve[::-1])[::-1].copy()
