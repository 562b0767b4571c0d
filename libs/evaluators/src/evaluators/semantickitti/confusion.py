"""Confusion matrices and the scores they give, for any number of classes of any data set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64, Integer

from evaluators._validation import require_choice
from evaluators.semantickitti.protocol import Absent


def confusion_matrix(
    pred: Integer[np.ndarray, " n"], gt: Integer[np.ndarray, " m"], n_classes: int
) -> Int64[np.ndarray, "c c"]:
    """Return how many points have each pair of classes: rows prediction, columns ground truth.

    Labels are class numbers 0..n_classes-1. Add the matrices of all scans, then call `segmentation_scores`.

    Raises:
        ValueError: Lengths that differ, or a number that is no class.

    Example:
        >>> confusion_matrix(np.array([0, 1, 1]), np.array([0, 0, 1]), 2).tolist()
        [[1, 0], [1, 1]]
    """
    if pred.shape != gt.shape:
        raise ValueError(f"pred and gt must have the same length, got {pred.shape} and {gt.shape}")
    for name, labels in (("pred", pred), ("gt", gt)):
        if labels.size and not (labels.min() >= 0 and labels.max() < n_classes):
            raise ValueError(
                f"{name} must hold classes 0..{n_classes - 1}, got {labels.min()}..{labels.max()};"
                " leave out points without a class, or give them a class that is ignored"
            )
    pairs = pred.astype(np.int64) * n_classes + gt.astype(np.int64)
    return np.bincount(pairs, minlength=n_classes**2).reshape(n_classes, n_classes)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SegmentationScores:
    """What a confusion matrix says about every class and over all; shares, not percent."""

    iou: Float64[np.ndarray, " c"]
    """Intersection over union of every class; NaN if the class is ignored or skipped."""
    tp: Int64[np.ndarray, " c"]
    """Points of the class that were found; 0 if the class is ignored, as for fn."""
    fp: Int64[np.ndarray, " c"]
    """Points of other evaluated classes that were taken for it."""
    fn: Int64[np.ndarray, " c"]
    """Points of the class that were taken for another one, an ignored one included."""
    evaluated: tuple[bool, ...]
    """False: the class is ignored, or does not occur and is skipped."""
    miou: float
    """Mean IoU over the evaluated classes; NaN if there are none."""
    accuracy: float
    """The official figure: a point that was predicted as an ignored class is not in its denominator."""
    overall_accuracy: float
    """Share of all points with evaluated ground truth that were found; NaN if there are none."""


def segmentation_scores(
    confusion: Int64[np.ndarray, "c c"], *, ignored: tuple[int, ...] = (), absent: Absent = "zero"
) -> SegmentationScores:
    """Return the scores of a confusion matrix (rows prediction, columns ground truth).

    Points whose ground truth is ignored vanish, whatever was predicted there. Predicting an ignored class on
    another point is a miss of the class it has. A class that does not occur gets what `absent` says.

    Args:
        absent: "zero" as semantic-kitti-api, "skip" as mmdet3d and torchmetrics, "one" as spvnas, where a
            class without ground truth counts as 1 even if it was predicted.

    Source: `np_ioueval.py` of PRBonn/semantic-kitti-api, without the 1e-15 that it adds to denominators.

    Example:
        >>> scores = segmentation_scores(np.array([[1, 0], [1, 2]]))
        >>> scores.iou.round(3).tolist(), scores.accuracy
        ([0.5, 0.667], 0.75)
    """
    require_choice(absent, Absent, name="absent")
    included = np.ones(len(confusion), dtype=bool)
    included[list(ignored)] = False
    counted = np.where(included[np.newaxis], confusion, 0)
    tp = counted.diagonal().copy()
    fp, fn = counted.sum(axis=1) - tp, counted.sum(axis=0) - tp
    iou = tp / np.maximum(tp + fp + fn, 1)
    evaluated = included
    if absent == "one":
        iou[tp + fn == 0] = 1.0
    elif absent == "skip":
        evaluated = included & (tp + fp + fn > 0)
    iou[~evaluated] = np.nan
    n_points, n_predicted = int(counted.sum()), int((tp + fp)[included].sum())
    return SegmentationScores(
        iou=iou,
        tp=tp,
        fp=fp,
        fn=fn,
        evaluated=tuple(evaluated.tolist()),
        miou=float(iou[evaluated].mean()) if evaluated.any() else float("nan"),
        accuracy=float(tp.sum()) / max(n_predicted, 1),
        overall_accuracy=float(tp.sum()) / n_points if n_points else float("nan"),
    )
