"""Positional input of the grid points of RoIs (PG-RCNN, arXiv 2307.12637, and ImagePG)."""

import torch
from geom3d import boxes as box_geometry
from jaxtyping import Float
from torch import Tensor


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
