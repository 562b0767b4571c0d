"""Public function of RoI point pooling: rules, checks and the choice of the back end."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sparseops._checks import (
    HALF_AND_FLOAT32,
    HALF_AND_FLOATS,
    check_device,
    check_dtype,
    check_positive,
    check_shape,
)
from sparseops.ops.roi_point_pool import _ops
from sparseops.ops.scatter._ops import take_rows


def roi_point_pool(
    points: Float[Tensor, "b n 3"],
    features: Float[Tensor, "b n c"],
    rois: Float[Tensor, "b m 7"],
    *,
    num_sampled_points: int = 512,
    pool_extra_width: Sequence[float] = (0.0, 0.0, 0.0),
    margin: float = 0.0,
) -> tuple[Float[Tensor, "b m s channels"], Bool[Tensor, "b m"]]:
    """Take x y z and features of the first points in every RoI [b, m, s, 3 + c]; tell which are empty.

    Points and RoIs share one frame (metres; a RoI is x y z dx dy dz yaw about its geometric centre). A RoI is
    enlarged first, by `pool_extra_width` in all along its own axes; `points_in_boxes` says what is inside it.
    Its first points in the order of the rows are taken; fewer than `num_sampled_points` are repeated in turn.
    An empty RoI gets zeros and the mark True, among them RoIs whose enlarged box has no volume. The gradient
    goes to the taken points and their features, the same in every run; RoIs only decide which are taken, so
    they have none. Points are taken in the type of the features; what is inside is decided in float32. O(b m
    n) time on CUDA, O(b n log n) and the points near each RoI on the CPU.

    Source: PointRCNN; `roipoint_pool3d` of OpenPCDet, whose margin is 1e-5.

    Args:
        pool_extra_width: Metres added to dx, dy and dz.
        margin: Added to the half length and half width, as in `points_in_boxes`.

    Raises:
        TypeError: Points or RoIs that are not float32 or half precision, features that are not floating
            point.
        ValueError: Wrong shape, different devices or a number of points that is not positive.

    Example:
        >>> points = torch.tensor([[[9.0, 9.0, 9.0], [0.5, 0.0, 0.0], [0.0, 0.5, 0.0]]])
        >>> features, rois = torch.tensor([[[1.0], [2.0], [3.0]]]), torch.tensor([[[0.0, 0, 0, 2, 2, 2, 0]]])
        >>> pooled, empty = roi_point_pool(points, features, rois, num_sampled_points=3)
        >>> pooled[0, 0].tolist(), empty.tolist()
        ([[0.5, 0.0, 0.0, 2.0], [0.0, 0.5, 0.0, 3.0], [0.5, 0.0, 0.0, 2.0]], [[False]])
    """
    op = "roi_point_pool"
    check_shape(op, "points", points, ("B", "N", 3))
    check_shape(op, "features", features, (*points.shape[:2], "C"))
    check_shape(op, "rois", rois, (len(points), "M", 7))
    check_dtype(op, "points", points, HALF_AND_FLOAT32)
    check_dtype(op, "features", features, HALF_AND_FLOATS)
    check_dtype(op, "rois", rois, HALF_AND_FLOAT32)
    check_device(op, ("points", points), ("features", features), ("rois", rois))
    check_positive(op, "num_sampled_points", num_sampled_points)
    if len(pool_extra_width) != 3:
        raise ValueError(f"{op}: pool_extra_width must be x, y, z, got {list(pool_extra_width)}")
    widths = [float(width) for width in pool_extra_width]
    rows = _ops.roi_point_rows(
        points.detach().float(), rois.detach().float(), num_sampled_points, widths, margin
    )
    table = torch.cat([points.to(features.dtype), features], dim=2).flatten(0, 1)
    pooled = take_rows(table, rows.flatten()).view(*rows.shape, table.shape[1])
    return pooled, rows[..., 0] < 0
