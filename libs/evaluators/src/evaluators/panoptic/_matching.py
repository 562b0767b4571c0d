"""Segments of one scan: areas, overlaps, matches, counted per class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64, Shaped

COLUMNS = ("tp", "fp", "fn", "small_gt", "small_pred", "split_gt", "split_pred")
"""What is counted per class, see `PanopticResult`."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScanCounts:
    """One scan, by class id."""

    counts: Int64[np.ndarray, "7 c"]
    """Rows as in `COLUMNS`."""
    iou_sum: Float64[np.ndarray, " c"]
    confusion: Int64[np.ndarray, "c c"]
    """Points; rows prediction, columns ground truth."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Side:
    """Ground truth or prediction of every distinct pair of labels."""

    classes: Int64[np.ndarray, " p"]
    segments: Shaped[np.ndarray, " p"]
    """Identifies the segment; two segments of different classes are never equal."""


def count_scan(
    gt: Side,
    pred: Side,
    points: Int64[np.ndarray, " p"],
    *,
    ignored: Bool[np.ndarray, " c"],
    min_points: int,
) -> ScanCounts:
    """Return what the scan adds, given each distinct pair of labels and its number of points.

    Points with ignored ground truth vanish first. Sums run in order of first appearance, so that renaming
    instances or exchanging ground truth and prediction changes no digit.
    """
    n_classes = len(ignored)
    confusion = np.zeros((n_classes, n_classes), dtype=np.int64)
    np.add.at(confusion, (pred.classes, gt.classes), points)
    valid = ~ignored[gt.classes]
    found = valid & ~ignored[pred.classes]
    gt_area, gt_of = _areas(gt.segments, points, valid)
    pred_area, pred_of = _areas(pred.segments, points, found)
    both = valid & (gt.classes == pred.classes)
    inter = points[both]
    iou = inter / (gt_area[gt_of[both]] + pred_area[pred_of[both]] - inter)
    match = iou > 0.5
    matched_class = gt.classes[both][match]
    gt_matched = np.zeros(len(gt_area), dtype=bool)
    gt_matched[gt_of[both][match]] = True
    pred_matched = np.zeros(len(pred_area), dtype=bool)
    pred_matched[pred_of[both][match]] = True
    gt_class = _class_of(gt.classes, gt_of, valid, len(gt_area))
    pred_class = _class_of(pred.classes, pred_of, found, len(pred_area))
    large_gt, large_pred = gt_area >= min_points, pred_area >= min_points

    def per_class(classes: Int64[np.ndarray, " k"]) -> Int64[np.ndarray, " c"]:
        return np.bincount(classes, minlength=n_classes).astype(np.int64)

    counts = (
        per_class(matched_class),
        per_class(pred_class[large_pred & ~pred_matched]),
        per_class(gt_class[large_gt & ~gt_matched]),
        per_class(gt_class[~large_gt & ~gt_matched]),
        per_class(pred_class[~large_pred & ~pred_matched]),
        (per_class(gt_class) > 1).astype(np.int64),
        (per_class(pred_class) > 1).astype(np.int64),
    )
    return ScanCounts(
        counts=np.stack(counts),
        # Of nothing, bincount returns integers whatever the weights.
        iou_sum=np.bincount(matched_class, weights=iou[match], minlength=n_classes).astype(np.float64),
        confusion=confusion,
    )


def _areas(
    segments: Shaped[np.ndarray, " p"], points: Int64[np.ndarray, " p"], kept: Bool[np.ndarray, " p"]
) -> tuple[Int64[np.ndarray, " s"], Int64[np.ndarray, " p"]]:
    """Return the points of every segment of the kept pairs, and the segment of every pair (-1: not kept)."""
    segment_of = np.full(len(segments), -1, dtype=np.int64)
    unique, inverse = np.unique(segments[kept], return_inverse=True)
    segment_of[kept] = inverse
    area = np.zeros(len(unique), dtype=np.int64)
    np.add.at(area, segment_of[kept], points[kept])
    return area, segment_of


def _class_of(
    classes: Int64[np.ndarray, " p"],
    segment_of: Int64[np.ndarray, " p"],
    kept: Bool[np.ndarray, " p"],
    n_segments: int,
) -> Int64[np.ndarray, " s"]:
    found = np.zeros(n_segments, dtype=np.int64)
    found[segment_of[kept]] = classes[kept]
    return found
