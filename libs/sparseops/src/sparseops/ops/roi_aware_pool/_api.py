"""Public function of RoI-aware pooling: rules, checks and the choice of the back end."""

from collections.abc import Sequence
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from sparseops._checks import (
    HALF_AND_FLOAT32,
    HALF_AND_FLOATS,
    check_device,
    check_dtype,
    check_shape,
)
from sparseops.ops.roi_aware_pool import _ops
from sparseops.ops.roi_grid._api import cells_per_axis
from sparseops.ops.scatter import scatter_max, scatter_mean
from sparseops.ops.scatter._ops import take_rows


def roi_aware_pool(
    points: Float[Tensor, "n 3"],
    features: Float[Tensor, "n c"],
    rois: Float[Tensor, "r 7"],
    *,
    output_size: int | Sequence[int],
    max_points: int = 128,
    reduce: Literal["max", "mean"] = "max",
    margin: float = 0.0,
) -> Float[Tensor, "r x y z c"]:
    """Pool the features of the points inside every RoI in a grid of equal cells: [r, x, y, z, c].

    Points and RoIs share one frame (metres; a RoI is x y z dx dy dz yaw about its geometric centre);
    `points_in_boxes` says what is inside. The grid has the axes of the RoI; a point on a face between cells
    belongs to the upper one, a point on a side or within the margin to the outermost. A cell keeps its first
    `max_points` - 1 points in the order of the rows and takes their maximum or mean per channel; without
    points it is 0. The gradient goes to the features, to the lowest row that holds the maximum, or
    1 / number to each kept point; the same in every run. Positions of points and RoIs only decide which cell
    a point is in, so they have none. Half precision of positions is converted to float32, that of features
    computed in it and returned in its type. One sample a call; a point counts in every RoI around it.

    On CUDA the call waits for the device (the number of points inside is not known before) and takes 4 r n
    bytes for a while.

    Source: Part-A2; `roiaware_pool3d` of OpenPCDet, whose margin is 1e-5 and whose sides are below 256.

    Args:
        output_size: Cells along every axis, or along x, y and z.
        max_points: Slots of a cell, of which the published kernel spends one on the number of points.
        margin: Added to the half length and half width, as in `points_in_boxes`.

    Raises:
        TypeError: Points or RoIs that are not float32 or half precision, features that are not floating
            point.
        ValueError: Wrong shape, different devices, a size that is not positive, fewer than 2 slots, or
            another reduction.

    Example:
        >>> import torch
        >>> points = torch.tensor([[-0.5, 0.0, 0.0], [0.2, 0.0, 0.0], [0.7, 0.0, 0.0]])
        >>> features, rois = torch.tensor([[5.0], [1.0], [2.0]]), torch.tensor([[0.0, 0, 0, 2, 2, 2, 0]])
        >>> roi_aware_pool(points, features, rois, output_size=(2, 1, 1)).flatten().tolist()
        [5.0, 2.0]
        >>> roi_aware_pool(points, features, rois, output_size=(2, 1, 1), reduce="mean").flatten().tolist()
        [5.0, 1.5]
    """
    op = "roi_aware_pool"
    check_shape(op, "points", points, ("N", 3))
    check_shape(op, "features", features, (len(points), "C"))
    check_shape(op, "rois", rois, ("R", 7))
    check_dtype(op, "points", points, HALF_AND_FLOAT32)
    check_dtype(op, "features", features, HALF_AND_FLOATS)
    check_dtype(op, "rois", rois, HALF_AND_FLOAT32)
    check_device(op, ("points", points), ("features", features), ("rois", rois))
    cells = cells_per_axis(op, output_size=output_size)
    if max_points < 2:
        raise ValueError(f"{op}: max_points must be at least 2, got {max_points}; one slot holds no point")
    if reduce not in ("max", "mean"):
        raise ValueError(f"{op}: reduce must be 'max' or 'mean', got {reduce!r}")
    # Most cells are empty: only the others are reduced.
    rows, group, occupied = _ops.roi_aware_rows(
        points.detach().float(), rois.detach().float(), cells, max_points - 1, margin
    )
    kept = take_rows(features, rows)
    if reduce == "max":
        pooled, _ = scatter_max(kept, group, dim_size=occupied.shape[0])
    else:
        pooled = scatter_mean(kept, group, dim_size=occupied.shape[0])
    out = features.new_zeros(len(rois) * cells[0] * cells[1] * cells[2], features.shape[1])
    return out.index_copy(0, occupied, pooled).view(len(rois), *cells, features.shape[1])
