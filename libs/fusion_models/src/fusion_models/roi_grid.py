"""Grid points of RoIs and their positional input (PG-RCNN, arXiv 2307.12637, and ImagePG)."""

import torch
from geom3d import boxes as box_geometry
from jaxtyping import Float
from torch import Tensor


def roi_grid(
    rois: Float[Tensor, "n 7"], *, size: int
) -> tuple[Float[Tensor, "n g 3"], Float[Tensor, "n g 3"]]:
    """Return the centres of size^3 equal cells of every RoI: in the RoI's frame and in its own, x-major.

    Args:
        rois: x y z dx dy dz yaw, metres and radians.

    Returns:
        The points in the frame of the RoIs, and relative to the RoI's centre in its un-rotated axes.

    Example:
        >>> points, local = roi_grid(torch.tensor([[10.0, 0, 0, 4, 2, 2, 0]]), size=2)
        >>> points[0, 0].tolist(), local[0, 1].tolist()
        ([9.0, -0.5, -0.5], [-1.0, -0.5, 0.5])
    """
    axis = (torch.arange(size, dtype=rois.dtype, device=rois.device) + 0.5) / size - 0.5
    unit = torch.cartesian_prod(axis, axis, axis)
    local = unit * rois[:, None, 3:6]
    return box_geometry.from_canonical(local, rois), local


def positional_input(rois: Float[Tensor, "n 7"], local: Float[Tensor, "n g 3"]) -> Float[Tensor, "n g 27"]:
    """Return, per grid point, the RoI's eight corners minus the point (24 values) and the point itself (3).

    As in the released code the corners are those of the RoI moved to the origin *with its heading*, the
    points are in un-rotated axes; the input therefore depends on the heading. Corner order: that of
    `geom3d.boxes.corners`.
    """
    centred = torch.cat([torch.zeros_like(rois[:, :3]), rois[:, 3:]], dim=1)
    corners = box_geometry.corners(centred)
    offsets = corners[:, None] - local[:, :, None]
    return torch.cat([offsets.flatten(2), local], dim=2)
