"""Public functions of the suppression: rules, checks and the choice of the back end."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sparseops._checks import (
    HALF_AND_FLOATS,
    INTEGERS,
    check_device,
    check_dtype,
    check_positive,
    check_shape,
    wide,
)
from sparseops.ops.nms import _ops
from sparseops.ops.rotated_iou._reference import finite_in_float64, seen_from_above


def nms_bev(
    boxes: Float[Tensor, "n 7"],
    scores: Float[Tensor, " n"],
    *,
    iou_threshold: float,
    labels: Int[Tensor, " n"] | None = None,
    pre_max: int | None = None,
    post_max: int | None = None,
) -> Int[Tensor, " k"]:
    """Keep the best of overlapping boxes: row numbers (int64) by falling score.

    Boxes are taken by falling score, of equal scores the lowest row first; a kept box removes those whose
    IoU seen from above (as `iou_bev`) exceeds `iou_threshold`, strictly and decided in float64. Boxes without
    area, or with NaN or infinity, neither remove others nor are removed. No boxes give no rows. No gradient.
    On CUDA the call waits for the device: the number of kept rows is not known before.

    Time grows with the number of near pairs, on the CPU about n^2 / 10 cheap tests on a driving scene. Memory
    on CUDA: n^2 / 8 bytes; the reference needs about 20 n^2 bytes.

    Args:
        iou_threshold: 0 <= iou_threshold <= 1.
        labels: Class of each box; boxes of different classes do not remove each other. For one score per box
            and class (mmdet3d's multi-class NMS) pass one row per pair of box and class.
        pre_max: Only that many best boxes, of all classes together, take part.
        post_max: Stop after that many, of all classes together, are kept.

    Raises:
        TypeError: Boxes or scores that are not floating point, labels that are not integers.
        ValueError: Wrong shape, different devices, a score that is NaN, a threshold outside 0..1 or a limit
            that is not positive.

    Example:
        >>> boxes = torch.tensor([[0.0, 0, 0, 4, 2, 1, 0], [0.1, 0, 0, 4, 2, 1, 0], [9.0, 0, 0, 4, 2, 1, 0]])
        >>> scores = torch.tensor([0.5, 0.9, 0.1])
        >>> nms_bev(boxes, scores, iou_threshold=0.5).tolist()
        [1, 2]
        >>> nms_bev(boxes, scores, iou_threshold=0.5, labels=torch.tensor([0, 1, 1])).tolist()
        [1, 0, 2]
    """
    table = _checked("nms_bev", boxes, scores, labels, iou_threshold, pre_max, post_max)
    return _keep(seen_from_above(table), scores, labels, iou_threshold, pre_max, post_max, rotated=True)


def nms_3d(
    boxes: Float[Tensor, "n 7"],
    scores: Float[Tensor, " n"],
    *,
    iou_threshold: float,
    labels: Int[Tensor, " n"] | None = None,
    pre_max: int | None = None,
    post_max: int | None = None,
) -> Int[Tensor, " k"]:
    """Keep the best of overlapping boxes as `nms_bev`, judged by their IoU in space (`iou_3d`).

    Example:
        >>> boxes = torch.tensor([[0.0, 0, 0, 4, 2, 1, 0], [0.0, 0, 2, 4, 2, 1, 0], [0, 0, 0.1, 4, 2, 1, 0]])
        >>> nms_3d(boxes, torch.tensor([0.9, 0.8, 0.7]), iou_threshold=0.5).tolist()
        [0, 1]
    """
    table = _checked("nms_3d", boxes, scores, labels, iou_threshold, pre_max, post_max)
    return _keep(table, scores, labels, iou_threshold, pre_max, post_max, rotated=True)


def nms_aligned_bev(
    boxes: Float[Tensor, "n 7"],
    scores: Float[Tensor, " n"],
    *,
    iou_threshold: float,
    labels: Int[Tensor, " n"] | None = None,
    pre_max: int | None = None,
    post_max: int | None = None,
) -> Int[Tensor, " k"]:
    """Keep the best of overlapping boxes as `nms_bev`, as if every yaw were 0; OpenPCDet's `nms_normal_gpu`.

    Example:
        >>> boxes = torch.tensor([[0.0, 0, 0, 4, 2, 1, 0], [0.0, 0, 0, 4, 2, 1, 1.5]])
        >>> nms_aligned_bev(boxes, torch.tensor([0.5, 0.9]), iou_threshold=0.5).tolist()
        [1]
    """
    table = _checked("nms_aligned_bev", boxes, scores, labels, iou_threshold, pre_max, post_max)
    return _keep(seen_from_above(table), scores, labels, iou_threshold, pre_max, post_max, rotated=False)


def nms_aligned_3d(
    boxes: Float[Tensor, "n 7"],
    scores: Float[Tensor, " n"],
    *,
    iou_threshold: float,
    labels: Int[Tensor, " n"] | None = None,
    pre_max: int | None = None,
    post_max: int | None = None,
) -> Int[Tensor, " k"]:
    """Keep the best of overlapping boxes as `nms_3d`, as if every yaw were 0; for indoor detection.

    With `labels` it is what mmdet3d's `aligned_3d_nms` does.

    Example:
        >>> boxes = torch.tensor([[0.0, 0, 0, 4, 2, 1, 0], [0.0, 0, 0.1, 4, 2, 1, 1.5]])
        >>> nms_aligned_3d(boxes, torch.tensor([0.5, 0.9]), iou_threshold=0.5).tolist()
        [1]
    """
    table = _checked("nms_aligned_3d", boxes, scores, labels, iou_threshold, pre_max, post_max)
    return _keep(table, scores, labels, iou_threshold, pre_max, post_max, rotated=False)


def _checked(
    op: str,
    boxes: Tensor,
    scores: Tensor,
    labels: Tensor | None,
    threshold: float,
    pre_max: int | None,
    post_max: int | None,
) -> Tensor:
    check_shape(op, "boxes", boxes, ("N", 7))
    check_shape(op, "scores", scores, (len(boxes),))
    check_dtype(op, "boxes", boxes, HALF_AND_FLOATS)
    check_dtype(op, "scores", scores, HALF_AND_FLOATS)
    check_device(op, ("boxes", boxes), ("scores", scores))
    if labels is not None:
        check_shape(op, "labels", labels, (len(boxes),))
        check_dtype(op, "labels", labels, INTEGERS)
        check_device(op, ("boxes", boxes), ("labels", labels))
    if not 0 <= threshold <= 1:
        raise ValueError(f"{op}: iou_threshold must lie in 0 to 1, got {threshold}")
    for name, limit in (("pre_max", pre_max), ("post_max", post_max)):
        if limit is not None:
            check_positive(op, name, limit)
    return finite_in_float64(boxes.detach())


def _keep(
    boxes: Tensor,
    scores: Tensor,
    labels: Tensor | None,
    threshold: float,
    pre_max: int | None,
    post_max: int | None,
    *,
    rotated: bool,
) -> Tensor:
    """Keep boxes by their IoU in space, all variants alike."""
    if labels is None:
        labels = torch.zeros(len(boxes), dtype=torch.int64, device=boxes.device)
    limits = [len(boxes) if limit is None else limit for limit in (pre_max, post_max)]
    return _ops.nms(boxes, wide(scores.detach()), labels.long(), threshold, *limits, rotated)
