"""Public functions of the IoU of boxes: rules, checks and the choice of the back end."""

import torch
from geom3d.boxes import corners_bev
from jaxtyping import Float
from torch import Tensor

from sparseops._checks import HALF_AND_FLOATS, check_device, check_dtype, check_shape, wide
from sparseops.ops.rotated_iou import _ops
from sparseops.ops.rotated_iou._hull import hull_area
from sparseops.ops.rotated_iou._reference import finite_in_float64, iou_aligned_reference, seen_from_above


def iou_bev(boxes_a: Float[Tensor, "n 7"], boxes_b: Float[Tensor, "m 7"]) -> Float[Tensor, "n m"]:
    """Return the IoU seen from above of every pair of rotated boxes, in the type of `boxes_a`.

    Boxes are x y z dx dy dz yaw in one frame (metres, radians); z and dz do not matter. Exact area,
    computed in float64. Touching is no overlap. A box without area, or with NaN or infinity, has IoU 0 with
    every box. Differentiable by both boxes: the exact derivative of the area, 0 where boxes have nothing in
    common (a loss that shall pull them together is `paired_giou_3d`); at kinks (edges that coincide) the
    mean of both slopes. O(n m).

    Raises:
        TypeError: Not floating point.
        ValueError: Wrong shape or different devices.

    Example:
        >>> import torch
        >>> boxes = torch.tensor([[0.0, 0.0, 0.0, 2.0, 2.0, 1.0, 0.0], [1.0, 0.0, 0.0, 2.0, 2.0, 1.0, 0.0]])
        >>> iou_bev(boxes[:1], boxes).tolist()
        [[1.0, 0.3333333432674408]]
    """
    a, b = _checked("iou_bev", boxes_a, boxes_b)
    return _ops.iou(seen_from_above(a), seen_from_above(b), wide(boxes_a).dtype).to(boxes_a.dtype)


def iou_3d(boxes_a: Float[Tensor, "n 7"], boxes_b: Float[Tensor, "m 7"]) -> Float[Tensor, "n m"]:
    """Return the IoU in space of every pair of rotated boxes, in the type of `boxes_a`; rules as `iou_bev`.

    Example:
        >>> import torch
        >>> boxes = torch.tensor([[0.0, 0.0, 0.0, 2.0, 2.0, 1.0, 0.0], [0.0, 0.0, 0.5, 2.0, 2.0, 1.0, 0.0]])
        >>> iou_3d(boxes[:1], boxes).tolist()
        [[1.0, 0.3333333432674408]]
    """
    a, b = _checked("iou_3d", boxes_a, boxes_b)
    return _ops.iou(a, b, wide(boxes_a).dtype).to(boxes_a.dtype)


def paired_iou_bev(boxes_a: Float[Tensor, "n 7"], boxes_b: Float[Tensor, "n 7"]) -> Float[Tensor, " n"]:
    """Return `iou_bev` of row i with row i; what mmcv calls `box_iou_rotated(aligned=True)`.

    Example:
        >>> import torch
        >>> boxes = torch.tensor([[0.0, 0.0, 0.0, 2.0, 2.0, 1.0, 0.0]])
        >>> paired_iou_bev(boxes, boxes + torch.tensor([1.0, 0, 0, 0, 0, 0, 0])).tolist()
        [0.3333333432674408]
    """
    a, b = _checked_pairs("paired_iou_bev", boxes_a, boxes_b)
    return _ops.paired_iou(seen_from_above(a), seen_from_above(b), wide(boxes_a).dtype).to(boxes_a.dtype)


def paired_iou_3d(boxes_a: Float[Tensor, "n 7"], boxes_b: Float[Tensor, "n 7"]) -> Float[Tensor, " n"]:
    """Return `iou_3d` of row i with row i; OpenPCDet's `paired_boxes_iou3d_gpu`.

    Example:
        >>> import torch
        >>> boxes = torch.tensor([[0.0, 0.0, 0.0, 2.0, 2.0, 1.0, 0.0]])
        >>> paired_iou_3d(boxes, boxes + torch.tensor([0, 0, 0.5, 0, 0, 0, 0])).tolist()
        [0.3333333432674408]
    """
    a, b = _checked_pairs("paired_iou_3d", boxes_a, boxes_b)
    return _ops.paired_iou(a, b, wide(boxes_a).dtype).to(boxes_a.dtype)


def giou_3d(boxes_a: Float[Tensor, "n 7"], boxes_b: Float[Tensor, "m 7"]) -> Float[Tensor, "n m"]:
    """Return the generalised IoU in space of every pair of rotated boxes; rules as `paired_giou_3d`.

    Example:
        >>> import torch
        >>> box = torch.tensor([[0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0]])
        >>> giou_3d(box, box + torch.tensor([3.0, 0, 0, 0, 0, 0, 0])).tolist()
        [[-0.5]]
    """
    a, b = _checked("giou_3d", boxes_a, boxes_b)
    left, right = a.repeat_interleave(len(b), dim=0), b.repeat(len(a), 1)
    return _giou(left, right).view(len(a), len(b)).to(boxes_a.dtype)


def paired_giou_3d(boxes_a: Float[Tensor, "n 7"], boxes_b: Float[Tensor, "n 7"]) -> Float[Tensor, " n"]:
    """Return the generalised IoU in space of row i with row i, in [-1, 1]: one minus it is the GIoU loss.

    It is IoU - (volume of C - union) / volume of C, where C is the upright prism over the convex hull of
    both outlines, from the lower bottom to the higher top. Equal to `geom3d.overlap.paired_giou_3d`. Unlike
    the IoU it has a gradient for boxes that lie apart, too. Differentiable by both boxes; computed in
    float64. A box with NaN or infinity counts as one without volume at the origin. Source: Rezatofighi et
    al., CVPR 2019, algorithm 1.

    Raises:
        TypeError: Not floating point.
        ValueError: Wrong shape or different devices.

    Example:
        >>> import torch
        >>> box = torch.tensor([[0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0]], requires_grad=True)
        >>> loss = 1 - paired_giou_3d(box, torch.tensor([[3.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0]]))
        >>> loss.sum().backward()
        >>> loss.item(), box.grad[0, 0].item()  # pulled forward
        (1.5, -0.125)
    """
    a, b = _checked_pairs("paired_giou_3d", boxes_a, boxes_b)
    return _giou(a, b).to(boxes_a.dtype)


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
        check_dtype(op, name, boxes, HALF_AND_FLOATS)
    check_device(op, ("boxes_a", boxes_a), ("boxes_b", boxes_b))
    return finite_in_float64(boxes_a), finite_in_float64(boxes_b)


def _checked_pairs(op: str, boxes_a: Tensor, boxes_b: Tensor) -> tuple[Tensor, Tensor]:
    check_shape(op, "boxes_b", boxes_b, (len(boxes_a), 7))
    return _checked(op, boxes_a, boxes_b)


def _giou(a: Tensor, b: Tensor) -> Tensor:
    overlap = _ops.paired_iou(a, b, torch.float64)
    volumes = a[:, 3:6].clamp(min=0).prod(-1) + b[:, 3:6].clamp(min=0).prod(-1)
    union = volumes / (1 + overlap)
    # Relative to the middle of the pair: absolute coordinates would cost digits of the hull.
    middle = (a[:, :3] + b[:, :3]) / 2
    near = [torch.cat([box[:, :3] - middle, box[:, 3:6].clamp(min=0), box[:, 6:]], dim=1) for box in (a, b)]
    area = hull_area(torch.cat([corners_bev(box) for box in near], dim=1))
    ends = [(box[:, 2] - box[:, 5] / 2, box[:, 2] + box[:, 5] / 2) for box in near]
    height = torch.maximum(ends[0][1], ends[1][1]) - torch.minimum(ends[0][0], ends[1][0])
    # The hull is never smaller than the union; rounding must not make it so.
    hull = torch.maximum(area * height, union)
    waste = torch.where(hull > 0, hull - union, 0.0) / torch.where(hull > 0, hull, 1.0)
    return overlap - waste
