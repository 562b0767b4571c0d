"""Public functions of the rotated IoU: rules, checks and the choice of the back end."""

import torch
from jaxtyping import Float
from torch import Tensor

from sparseops._backend import backend_for
from sparseops._checks import FLOATS, check_device, check_dtype, check_shape
from sparseops.rotated_iou._reference import iou_3d_reference, iou_bev_reference


def iou_bev(boxes_a: Float[Tensor, "n 7"], boxes_b: Float[Tensor, "m 7"]) -> Float[Tensor, "n m"]:
    """Return the IoU seen from above of every pair of rotated boxes, in the type of `boxes_a`.

    Boxes are x y z dx dy dz yaw in one frame (metres, radians); z and dz do not matter. Exact area, computed
    in float64. Boxes without area have IoU 0, touching is no overlap. No gradient. O(n m).

    Raises:
        TypeError: Not float32 or float64.
        ValueError: Wrong shape or different devices; on the CPU also NaN or infinity.

    Example:
        >>> boxes = torch.tensor([[0.0, 0.0, 0.0, 2.0, 2.0, 1.0, 0.0], [1.0, 0.0, 0.0, 2.0, 2.0, 1.0, 0.0]])
        >>> iou_bev(boxes[:1], boxes).tolist()
        [[1.0, 0.3333333432674408]]
    """
    _check("iou_bev", boxes_a, boxes_b)
    return _iou_bev(boxes_a.detach(), boxes_b.detach())


def iou_3d(boxes_a: Float[Tensor, "n 7"], boxes_b: Float[Tensor, "m 7"]) -> Float[Tensor, "n m"]:
    """Return the IoU in space of every pair of rotated boxes, in the type of `boxes_a`; rules as `iou_bev`.

    Example:
        >>> boxes = torch.tensor([[0.0, 0.0, 0.0, 2.0, 2.0, 1.0, 0.0], [0.0, 0.0, 0.5, 2.0, 2.0, 1.0, 0.0]])
        >>> iou_3d(boxes[:1], boxes).tolist()
        [[1.0, 0.3333333432674408]]
    """
    _check("iou_3d", boxes_a, boxes_b)
    return _iou_3d(boxes_a.detach(), boxes_b.detach())


def _check(op: str, boxes_a: Tensor, boxes_b: Tensor) -> None:
    for name, boxes in (("boxes_a", boxes_a), ("boxes_b", boxes_b)):
        check_shape(op, name, boxes, ("N", 7))
        check_dtype(op, name, boxes, FLOATS)
    check_device(op, ("boxes_a", boxes_a), ("boxes_b", boxes_b))


@torch.library.custom_op("sparseops::iou_bev", mutates_args=())
def _iou_bev(boxes_a: Tensor, boxes_b: Tensor) -> Tensor:
    if backend_for("iou_bev", boxes_a) == "reference":
        return iou_bev_reference(boxes_a[:, None], boxes_b[None]).to(boxes_a.dtype)
    from sparseops.rotated_iou._cpu import iou_bev_cpu

    return iou_bev_cpu(boxes_a, boxes_b).to(boxes_a.dtype)


@torch.library.custom_op("sparseops::iou_3d", mutates_args=())
def _iou_3d(boxes_a: Tensor, boxes_b: Tensor) -> Tensor:
    if backend_for("iou_3d", boxes_a) == "reference":
        return iou_3d_reference(boxes_a[:, None], boxes_b[None]).to(boxes_a.dtype)
    from sparseops.rotated_iou._cpu import iou_3d_cpu

    return iou_3d_cpu(boxes_a, boxes_b).to(boxes_a.dtype)


@_iou_bev.register_fake
@_iou_3d.register_fake
def _(boxes_a: Tensor, boxes_b: Tensor) -> Tensor:
    return boxes_a.new_empty(boxes_a.shape[0], boxes_b.shape[0])
