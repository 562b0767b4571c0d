"""Public functions of the IoU of boxes: rules, checks and the choice of the back end."""

from jaxtyping import Float
from torch import Tensor

from sparseops._checks import FLOATS, check_device, check_dtype, check_shape
from sparseops.ops.rotated_iou import _ops
from sparseops.ops.rotated_iou._reference import finite_in_float64, iou_aligned_reference, seen_from_above


def iou_bev(boxes_a: Float[Tensor, "n 7"], boxes_b: Float[Tensor, "m 7"]) -> Float[Tensor, "n m"]:
    """Return the IoU seen from above of every pair of rotated boxes, in the type of `boxes_a`.

    Boxes are x y z dx dy dz yaw in one frame (metres, radians); z and dz do not matter. Exact area, computed
    in float64. Touching is no overlap. A box without area, or with NaN or infinity, has IoU 0 with every box.
    No gradient; `paired_iou_aligned_3d` has one. O(n m).

    Raises:
        TypeError: Not float32 or float64.
        ValueError: Wrong shape or different devices.

    Example:
        >>> import torch
        >>> boxes = torch.tensor([[0.0, 0.0, 0.0, 2.0, 2.0, 1.0, 0.0], [1.0, 0.0, 0.0, 2.0, 2.0, 1.0, 0.0]])
        >>> iou_bev(boxes[:1], boxes).tolist()
        [[1.0, 0.3333333432674408]]
    """
    a, b = _checked("iou_bev", boxes_a, boxes_b)
    return _ops.iou(seen_from_above(a.detach()), seen_from_above(b.detach()), boxes_a.dtype)


def iou_3d(boxes_a: Float[Tensor, "n 7"], boxes_b: Float[Tensor, "m 7"]) -> Float[Tensor, "n m"]:
    """Return the IoU in space of every pair of rotated boxes, in the type of `boxes_a`; rules as `iou_bev`.

    Example:
        >>> import torch
        >>> boxes = torch.tensor([[0.0, 0.0, 0.0, 2.0, 2.0, 1.0, 0.0], [0.0, 0.0, 0.5, 2.0, 2.0, 1.0, 0.0]])
        >>> iou_3d(boxes[:1], boxes).tolist()
        [[1.0, 0.3333333432674408]]
    """
    a, b = _checked("iou_3d", boxes_a, boxes_b)
    return _ops.iou(a.detach(), b.detach(), boxes_a.dtype)


def paired_iou_bev(boxes_a: Float[Tensor, "n 7"], boxes_b: Float[Tensor, "n 7"]) -> Float[Tensor, " n"]:
    """Return `iou_bev` of row i with row i; what mmcv calls `box_iou_rotated(aligned=True)`.

    Example:
        >>> import torch
        >>> boxes = torch.tensor([[0.0, 0.0, 0.0, 2.0, 2.0, 1.0, 0.0]])
        >>> paired_iou_bev(boxes, boxes + torch.tensor([1.0, 0, 0, 0, 0, 0, 0])).tolist()
        [0.3333333432674408]
    """
    a, b = _checked_pairs("paired_iou_bev", boxes_a, boxes_b)
    return _ops.paired_iou(seen_from_above(a.detach()), seen_from_above(b.detach()), boxes_a.dtype)


def paired_iou_3d(boxes_a: Float[Tensor, "n 7"], boxes_b: Float[Tensor, "n 7"]) -> Float[Tensor, " n"]:
    """Return `iou_3d` of row i with row i; OpenPCDet's `paired_boxes_iou3d_gpu`.

    Example:
        >>> import torch
        >>> boxes = torch.tensor([[0.0, 0.0, 0.0, 2.0, 2.0, 1.0, 0.0]])
        >>> paired_iou_3d(boxes, boxes + torch.tensor([0, 0, 0.5, 0, 0, 0, 0])).tolist()
        [0.3333333432674408]
    """
    a, b = _checked_pairs("paired_iou_3d", boxes_a, boxes_b)
    return _ops.paired_iou(a.detach(), b.detach(), boxes_a.dtype)


# Axis-aligned overlap is a handful of element-wise steps: plain PyTorch, which also gives the gradient.


def iou_aligned_bev(boxes_a: Float[Tensor, "n 7"], boxes_b: Float[Tensor, "m 7"]) -> Float[Tensor, "n m"]:
    """Return the IoU seen from above of every pair of boxes as if every yaw were 0; rules as `iou_bev`.

    Differentiable; the gradient is 0 where boxes have nothing in common. At kinks (edges that coincide) it is
    shared out between both boxes.

    Example:
        >>> import torch
        >>> boxes = torch.tensor([[0.0, 0.0, 0.0, 2.0, 2.0, 1.0, 0.7], [1.0, 0.0, 9.0, 2.0, 2.0, 1.0, 0.0]])
        >>> iou_aligned_bev(boxes[:1], boxes).tolist()
        [[1.0, 0.3333333432674408]]
    """
    a, b = _checked("iou_aligned_bev", boxes_a, boxes_b)
    return iou_aligned_reference(seen_from_above(a)[:, None], seen_from_above(b)).to(boxes_a.dtype)


def iou_aligned_3d(boxes_a: Float[Tensor, "n 7"], boxes_b: Float[Tensor, "m 7"]) -> Float[Tensor, "n m"]:
    """Return the IoU in space of every pair of boxes as if every yaw were 0; rules as `iou_aligned_bev`.

    Example:
        >>> import torch
        >>> boxes = torch.tensor([[0.0, 0.0, 0.0, 2.0, 2.0, 1.0, 0.7], [0.0, 0.0, 0.5, 2.0, 2.0, 1.0, 0.0]])
        >>> iou_aligned_3d(boxes[:1], boxes).tolist()
        [[1.0, 0.3333333432674408]]
    """
    a, b = _checked("iou_aligned_3d", boxes_a, boxes_b)
    return iou_aligned_reference(a[:, None], b).to(boxes_a.dtype)


def paired_iou_aligned_3d(
    boxes_a: Float[Tensor, "n 7"], boxes_b: Float[Tensor, "n 7"]
) -> Float[Tensor, " n"]:
    """Return `iou_aligned_3d` of row i with row i: one minus it is the IoU loss of indoor detectors.

    Example:
        >>> import torch
        >>> boxes = torch.tensor([[0.0, 0.0, 0.0, 2.0, 2.0, 1.0, 0.7]])
        >>> paired_iou_aligned_3d(boxes, boxes + torch.tensor([0, 0, 0.5, 0, 0, 0, 0])).tolist()
        [0.3333333432674408]
    """
    a, b = _checked_pairs("paired_iou_aligned_3d", boxes_a, boxes_b)
    return iou_aligned_reference(a, b).to(boxes_a.dtype)


def _checked(op: str, boxes_a: Tensor, boxes_b: Tensor) -> tuple[Tensor, Tensor]:
    for name, boxes in (("boxes_a", boxes_a), ("boxes_b", boxes_b)):
        check_shape(op, name, boxes, ("N", 7))
        check_dtype(op, name, boxes, FLOATS)
    check_device(op, ("boxes_a", boxes_a), ("boxes_b", boxes_b))
    return finite_in_float64(boxes_a), finite_in_float64(boxes_b)


def _checked_pairs(op: str, boxes_a: Tensor, boxes_b: Tensor) -> tuple[Tensor, Tensor]:
    check_shape(op, "boxes_b", boxes_b, (len(boxes_a), 7))
    return _checked(op, boxes_a, boxes_b)
