"""From overlaps to curves: flags, thresholds and counts of one class at one level."""

# The compiled kernels carry no types.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from evaluators.kitti._packing import Packed
from evaluators.kitti.objects import ABSENT_ANGLE, ABSENT_LOCATION
from evaluators.kitti.protocol import (
    KITTI_DEVKIT,
    RECALL_POSITIONS,
    ClassRule,
    Difficulty,
    EvaluatedRule,
    Metric,
    OrientationRule,
    Protocol,
)
from evaluators.kitti.result import KittiCurve

_OVERLAP_ROW = {"2d": 0, "bev": 1, "3d": 2}


def is_evaluated(packed: Packed, rule: ClassRule, metric: Metric, evaluated: EvaluatedRule = "box") -> bool:
    """Return whether `metric` is scored for the class, which depends on what its detections have."""
    if evaluated == "always":
        return True
    of_class = packed.pred.codes == packed.code(rule.name)
    if metric not in ("bev", "3d"):
        return bool(np.any(packed.pred.image[of_class, 0] >= 0))
    x, y, _ = packed.pred.location[of_class].T
    if evaluated == "location":
        return bool(np.any((y if metric == "3d" else x) != ABSENT_LOCATION))
    # Length and height of what has no complete ground box, or no complete 3D box, are 0 there.
    _, _, length, _, _, _, height = packed.pred.space[of_class].T
    return bool(np.any((height if metric == "3d" else length) > 0))


def orientation_is_given(packed: Packed, rule: OrientationRule) -> bool:
    """Return whether orientation is scored, which depends on the alphas of all classes."""
    given = packed.pred.alpha_rad != ABSENT_ANGLE
    if rule == "all detections":
        return bool(given.all())
    if rule == "first detection":
        return bool(given[:1].any())
    starts = packed.gt.starts
    first = starts[:-1][np.diff(starts) > 0]
    return bool(given.any() and np.any(packed.gt.alpha_rad[first] != ABSENT_ANGLE))


@dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """What counts for one class at one level: 0 counts, 1 is ignored, -1 is irrelevant."""

    gt: np.ndarray
    """int8 [ground truth]."""
    pred: np.ndarray
    """int8 [detections]; one that is too small is ignored whatever its class."""
    n_class_pred: int
    """Detections of the class, ignored or not."""

    def curve(self, thresholds: np.ndarray, counts: np.ndarray, curve: np.ndarray) -> KittiCurve:
        """Return the curve with the numbers of objects; counts [3, k] are tp, fp, fn."""
        tp, fp, fn = counts
        return KittiCurve(
            evaluated=True,
            n_class_pred=self.n_class_pred,
            n_gt=self.n_gt,
            n_gt_ignored=int(np.count_nonzero(self.gt == 1)),
            n_pred=int(np.count_nonzero(self.pred == 0)),
            n_pred_ignored=int(np.count_nonzero(self.pred == 1)),
            thresholds=thresholds,
            tp=tp,
            fp=fp,
            fn=fn,
            curve=curve,
        )

    def no_curve(self) -> KittiCurve:
        """Return the curve of a class that is not evaluated: zeros, no thresholds, no detections."""
        none = np.zeros(0, dtype=np.int64)
        curve = self.curve(np.zeros(0), np.stack([none] * 3), np.zeros(RECALL_POSITIONS))
        return replace(curve, evaluated=False, n_pred=0, n_pred_ignored=0)

    @property
    def n_gt(self) -> int:
        """Ground truth that counts."""
        return int(np.count_nonzero(self.gt == 0))


def flags(packed: Packed, rule: ClassRule, level: Difficulty, protocol: Protocol = KITTI_DEVKIT) -> Flags:
    """Return what counts for the class at the level."""
    gt, pred = packed.gt, packed.pred
    is_class = gt.codes == packed.code(rule.name)
    is_neighbour = np.isin(gt.codes, [packed.code(name) for name in rule.neighbours])
    high_enough = gt.heights_px > level.min_height_px
    if protocol.minimum_height_counts:
        high_enough |= gt.heights_px == level.min_height_px
    fits = (
        (gt.occluded <= level.max_occlusion)
        & (gt.truncated <= level.max_truncation)
        & high_enough
        & _in_range(gt.location[:, 2], level)
    )
    ignored = (pred.heights_px < level.min_height_px) | ~_in_range(pred.location[:, 2], level)
    of_class = pred.codes == packed.code(rule.name)
    return Flags(
        gt=np.where(is_class, np.where(fits, 0, 1), np.where(is_neighbour, 1, -1)).astype(np.int8),
        pred=np.where(ignored, 1, np.where(of_class, 0, -1)).astype(np.int8),
        n_class_pred=int(np.count_nonzero(of_class)),
    )


def _in_range(depth_m: np.ndarray, level: Difficulty) -> np.ndarray:
    near, far = level.depth_m
    return (depth_m >= near) & (depth_m < far)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """The pairs that overlap enough for one class in one metric, sorted by ground truth, then detection."""

    gt: np.ndarray
    pred: np.ndarray
    overlaps: np.ndarray
    forgiven: np.ndarray
    """bool [detections]: never a false positive."""


def candidates(packed: Packed, rule: ClassRule, metric: Metric) -> Candidates:
    """Return the pairs above the minimum overlap of `metric` (2d, bev or 3d)."""
    minimum = rule.min_overlap(metric)
    overlaps = packed.overlaps[_OVERLAP_ROW[metric]]
    at = np.flatnonzero(overlaps > minimum)
    # A false positive inside a DontCare region is forgiven in the image only: the regions have no 3D box.
    forgiven = packed.covered > minimum if metric == "2d" else np.zeros(len(packed.scores), dtype=np.bool_)
    return Candidates(
        gt=packed.pair_gt[at], pred=packed.pair_pred[at], overlaps=overlaps[at], forgiven=forgiven
    )


def match(packed: Packed, pairs: Candidates, flagged: Flags) -> tuple[KittiCurve, KittiCurve]:
    """Return the precision curve and the orientation curve of the same matching.

    The second is the aos result if the pairs are those of 2d. Cost: 41 passes over the pairs.
    """
    from evaluators.kitti import _kernels

    kept = (flagged.gt[pairs.gt] >= 0) & (flagged.pred[pairs.pred] >= 0)
    gt, pred = pairs.gt[kept], pairs.pred[kept]
    scores, forgiven = packed.scores, pairs.forgiven
    found = _kernels.matched_scores(gt, pred, flagged.gt, flagged.pred, scores)
    thresholds = _kernels.sampled_thresholds(np.sort(found)[::-1].copy(), flagged.n_gt)
    alpha_gaps = packed.gt.alpha_rad[gt] - packed.pred.alpha_rad[pred]
    counts, similarity = _kernels.count_matches(
        gt, pred, pairs.overlaps[kept], flagged.gt, flagged.pred, scores, alpha_gaps, forgiven, thresholds
    )
    hits, absorbed, taken = counts.T
    alarms = np.sort(scores[(flagged.pred == 0) & ~forgiven])
    above = len(alarms) - np.searchsorted(alarms, thresholds, side="left")
    tp_fp_fn = np.stack([hits, above - taken, flagged.n_gt - hits - absorbed])
    positives = tp_fp_fn[0] + tp_fp_fn[1]
    return (
        flagged.curve(thresholds, tp_fp_fn, _right_maximum(hits, positives)),
        flagged.curve(thresholds, tp_fp_fn, _right_maximum(similarity, positives)),
    )


def _right_maximum(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Return numerator / denominator, 0 beyond the last threshold, made non-increasing from the right."""
    curve = np.zeros(RECALL_POSITIONS)
    # 0/0 needs every hit of pass 1 to be absorbed in pass 2: no hit, so 0.
    curve[: len(numerator)] = numerator / np.maximum(denominator, 1)
    return np.maximum.accumulate(curve[::-1])[::-1].copy()
