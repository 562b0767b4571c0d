"""Public function of the RoI grid: a few element-wise steps, so plain PyTorch on every device."""

from collections.abc import Sequence

import torch
from geom3d import boxes as box_geometry
from jaxtyping import Float
from torch import Tensor

from sparseops._checks import HALF_AND_FLOATS, check_dtype, check_positive, check_shape, wide


def roi_grid(
    rois: Float[Tensor, "n 7"], *, grid_size: int | Sequence[int]
) -> tuple[Float[Tensor, "n g 3"], Float[Tensor, "n g 3"]]:
    """Return the centres of equal cells of every RoI: in the frame of the RoIs, and in the RoI's own axes.

    RoIs are x y z dx dy dz yaw (metres, radians). The own axes start at the RoI's centre and turn with it.
    Cells are listed x first, z fastest. Half precision gives float32. Differentiable. Features gathered at
    these points make the RoI-grid pooling of PV-RCNN and Voxel R-CNN.

    Args:
        grid_size: Cells along every axis, or along x, y and z.

    Raises:
        TypeError: Not floating point.
        ValueError: Wrong shape, or a size that is not positive.

    Example:
        >>> points, local = roi_grid(torch.tensor([[10.0, 0, 0, 4, 2, 2, 0]]), grid_size=2)
        >>> points[0, 0].tolist(), local[0, 1].tolist()
        ([9.0, -0.5, -0.5], [-1.0, -0.5, 0.5])
    """
    check_shape("roi_grid", "rois", rois, ("N", 7))
    check_dtype("roi_grid", "rois", rois, HALF_AND_FLOATS)
    rois = wide(rois)
    cells = cells_per_axis("roi_grid", grid_size=grid_size)
    axes = [(torch.arange(n, dtype=rois.dtype, device=rois.device) + 0.5) / n - 0.5 for n in cells]
    local = torch.cartesian_prod(*axes) * rois[:, None, 3:6]
    return box_geometry.from_canonical(local, rois), local


def cells_per_axis(op: str, **named: int | Sequence[int]) -> list[int]:
    """Return the cells along x, y and z; ValueError unless they are one or three positive numbers."""
    ((name, size),) = named.items()
    cells = [size] * 3 if isinstance(size, int) else list(size)
    if len(cells) != 3:
        raise ValueError(f"{op}: {name} must be one number or three (x, y, z), got {cells}")
    check_positive(op, name, cells)
    return cells
