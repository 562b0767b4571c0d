"""Public function of the suppression: rules, checks and the choice of the back end."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sparseops._backend import backend_for
from sparseops._checks import FLOATS, check_device, check_dtype, check_positive, check_shape
from sparseops.nms._reference import nms_bev_reference


def nms_bev(
    boxes: Float[Tensor, "n 7"],
    scores: Float[Tensor, " n"],
    *,
    threshold: float,
    pre_max: int | None = None,
    post_max: int | None = None,
) -> Int[Tensor, " k"]:
    """Keep the best of overlapping boxes: row numbers (int64) by falling score.

    Boxes are taken by falling score, of equal scores the lowest row first; a kept box removes those whose
    IoU seen from above exceeds `threshold` (strictly; exact, in float64). Boxes without area neither remove
    others nor are removed. For the axis-aligned variant set the yaw column to zero first. No boxes give no
    rows. No gradient. Time grows with the number of near pairs; about n^2 / 10 cheap tests on a driving
    scene. The reference needs about 20 n^2 bytes.

    Args:
        threshold: 0 <= threshold <= 1.
        pre_max: Only that many best boxes take part.
        post_max: Stop after that many are kept.

    Raises:
        TypeError: Not float32 or float64.
        ValueError: Wrong shape, different devices, a threshold outside 0..1 or a limit that is not positive.

    Example:
        >>> boxes = torch.tensor([[0.0, 0, 0, 4, 2, 1, 0], [0.1, 0, 0, 4, 2, 1, 0], [9.0, 0, 0, 4, 2, 1, 0]])
        >>> nms_bev(boxes, torch.tensor([0.5, 0.9, 0.1]), threshold=0.5).tolist()
        [1, 2]
    """
    op = "nms_bev"
    check_shape(op, "boxes", boxes, ("N", 7))
    check_shape(op, "scores", scores, (len(boxes),))
    check_dtype(op, "boxes", boxes, FLOATS)
    check_dtype(op, "scores", scores, FLOATS)
    check_device(op, ("boxes", boxes), ("scores", scores))
    if not 0 <= threshold <= 1:
        raise ValueError(f"{op}: threshold must lie in 0 to 1, got {threshold}")
    for name, limit in (("pre_max", pre_max), ("post_max", post_max)):
        if limit is not None:
            check_positive(op, name, limit)
    order = torch.sort(scores.detach(), descending=True, stable=True).indices[:pre_max]
    return order[_nms_bev(boxes.detach()[order], threshold, len(boxes) if post_max is None else post_max)]


@torch.library.custom_op("sparseops::nms_bev", mutates_args=())
def _nms_bev(boxes: Tensor, threshold: float, post_max: int) -> Tensor:
    if backend_for("nms_bev", boxes) == "reference":
        return nms_bev_reference(boxes, threshold, post_max)
    from sparseops.nms._cpu import nms_bev_cpu

    return nms_bev_cpu(boxes, threshold, post_max)


@_nms_bev.register_fake
def _(boxes: Tensor, threshold: float, post_max: int) -> Tensor:
    return boxes.new_empty(torch.library.get_ctx().new_dynamic_size(), dtype=torch.int64)
