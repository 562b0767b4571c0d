"""From the points of rooms to the sparse tensor that the network starts from."""

import torch
from jaxtyping import Float
from sparseops import GridFrame, SparseTensor, voxel_first
from torch import Tensor

from fusion_models.dspdet3d.batch import RoomBatch


def voxels_of_points(
    batch: RoomBatch,
    *,
    voxel_size_m: float,
    coarsest: int,
    point_features: Float[Tensor, "n c"] | None = None,
) -> tuple[SparseTensor, GridFrame]:
    """Put points into voxels without limits of the range; return the voxels and where their grid lies.

    The voxel of a point is floor(xyz / voxel_size_m) along every axis, of either sign. Its features are x y z
    in metres of the first of its points, or the `point_features` of that one. Rows are sorted by room, z, y,
    x. A room without points has none.

    Args:
        coarsest: Voxels along a cell of the coarsest level; see `GridFrame.around`.
        point_features: Of every point; None: its x y z.

    Raises:
        ValueError: Counts or features that do not fit the points, or points so far apart that voxels
            cannot be numbered.

    Example:
        >>> points = torch.tensor([[-0.001, 0.0, 0.0], [0.025, 0.0, 0.0], [0.021, 0.0, 0.0]])
        >>> batch = RoomBatch(names=("a",), points=points, point_counts=(3,))
        >>> voxels, frame = voxels_of_points(batch, voxel_size_m=0.01, coarsest=4)
        >>> voxels.features[:, 0].tolist() == points[:2, 0].tolist()
        True
        >>> frame.coords(voxels.coords).tolist()
        [[0, 0, 0, -1], [0, 0, 0, 2]]
    """
    points = batch.points
    if sum(batch.point_counts) != len(points):
        raise ValueError(
            f"RoomBatch.point_counts: {batch.point_counts} must add up to the {len(points)} rows of points"
        )
    if point_features is not None and len(point_features) != len(points):
        raise ValueError(
            f"point_features: expected a row for each of the {len(points)} points of the batch, got "
            f"{len(point_features)}"
        )
    counts = torch.tensor(batch.point_counts, device=points.device)
    rooms = torch.arange(len(batch), device=points.device).repeat_interleave(counts, output_size=len(points))
    # Divided by a tensor: devices round a division by a plain number differently.
    xyz = points.float().div(torch.tensor(voxel_size_m, device=points.device)).floor().long()
    coords_bzyx = torch.cat([rooms[:, None], xyz.flip(1)], dim=1)
    frame = GridFrame.around(coords_bzyx, batch_size=len(batch), coarsest=coarsest)
    cells = frame.cells(coords_bzyx)
    z, y, x = frame.spatial_shape
    keys = cells.long() @ torch.tensor([z * y * x, y * x, x, 1], device=cells.device)
    distinct, voxel_of_point = torch.unique(keys, return_inverse=True)
    first = voxel_first(voxel_of_point, num_voxels=len(distinct))
    features = points if point_features is None else point_features
    return SparseTensor(features[first].float(), cells[first], frame.spatial_shape, len(batch)), frame
