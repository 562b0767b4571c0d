"""Public functions of point in box: rules, checks and the choice of the back end."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sparseops._checks import HALF_AND_FLOAT32, check_device, check_dtype, check_shape
from sparseops._values import batch_column
from sparseops.ops.points_in_boxes import _ops


def points_in_boxes(
    points: Float[Tensor, "n 3"], boxes: Float[Tensor, "m 7"], *, margin: float = 0.0
) -> Int[Tensor, " n"]:
    """Find the first box that holds each point, -1 where none does (int64).

    Points and boxes share one frame (metres, z up); a box is x y z dx dy dz yaw about its geometric centre. A
    point is inside if |z| <= dz / 2, |x| < dx / 2 + margin and |y| < dy / 2 + margin in the frame of the box,
    evaluated in float32, which half precision is converted to (top and bottom belong to the box, the sides do
    not). The lowest box wins. Boxes without volume, such as padding, hold nothing; NaN and infinity are never
    inside. No gradient. Time O(n m), memory O(n).

    Args:
        margin: Added to the half length and half width, in metres; may be negative. Published detectors use
            1e-5 (their CUDA kernel) and 1e-2 (their CPU kernel).

    Raises:
        TypeError: Not float32 or half precision.
        ValueError: Wrong shape or different devices.

    Example:
        >>> boxes = torch.tensor([[0.0, 0.0, 0.0, 2.0, 2.0, 2.0, 0.0]])
        >>> points_in_boxes(torch.tensor([[0.9, 0.0, 1.0], [1.1, 0.0, 0.0]]), boxes).tolist()
        [0, -1]
    """
    check_shape("points_in_boxes", "points", points, ("N", 3))
    check_shape("points_in_boxes", "boxes", boxes, ("M", 7))
    batch_index = torch.zeros(len(points), dtype=torch.int64, device=points.device)
    return _checked("points_in_boxes", points, batch_index, boxes[None], margin)


def points_in_boxes_batch(
    points: Float[Tensor, "n 4"], boxes: Float[Tensor, "b m 7"], *, margin: float = 0.0
) -> Int[Tensor, " n"]:
    """Find, for points with the sample in column 0, the first box of the same sample, -1 where none (int64).

    The index counts within the sample. Rules as `points_in_boxes`.

    Raises:
        TypeError: Not float32 or half precision.
        ValueError: Wrong shape or different devices, or a column 0 that does not hold whole numbers of
            samples 0 .. b - 1 (checked on the CPU only, as a GPU would have to wait; there such a row is in
            no box).

    Example:
        >>> boxes = torch.tensor([[[0.0, 0, 0, 2, 2, 2, 0]], [[9.0, 0, 0, 2, 2, 2, 0]]])
        >>> points_in_boxes_batch(torch.tensor([[0.0, 9.0, 0.0, 0.0], [1.0, 9.0, 0.0, 0.0]]), boxes).tolist()
        [-1, 0]
    """
    check_shape("points_in_boxes_batch", "points", points, ("N", 4))
    check_shape("points_in_boxes_batch", "boxes", boxes, ("B", "M", 7))
    sample = batch_column(points.detach(), len(boxes), "points_in_boxes_batch", wait=False)
    return _checked("points_in_boxes_batch", points[:, 1:], sample, boxes, margin)


def _checked(op: str, points: Tensor, batch_index: Tensor, boxes: Tensor, margin: float) -> Tensor:
    check_dtype(op, "points", points, HALF_AND_FLOAT32)
    check_dtype(op, "boxes", boxes, HALF_AND_FLOAT32)
    check_device(op, ("points", points), ("boxes", boxes))
    return _ops.points_in_boxes(points.detach().float(), batch_index, boxes.detach().float(), margin)
