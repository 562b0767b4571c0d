"""What DSPDet3D computes for the voxels of every level."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int32, Int64
from sparseops import GridFrame, Sites, TensorFields
from torch import Tensor


@dataclass(frozen=True, slots=True)
class LevelOutputs(TensorFields):
    """What the heads say about the v voxels of one level, before they are pruned; v may be 0.

    Rows are sorted by room, z, y, x as long as nothing was pruned, and stay in that order.
    """

    points: Float[Tensor, "v 3"]
    """x y z in metres of the lower corner of the cell, from which box centres are measured."""
    batch_indices: Int64[Tensor, " v"]
    """Number of the room in the batch."""
    cells: Int32[Tensor, "v 4"]
    """Room, then x y z in voxels as the published code counts them: multiples of `stride`, of either sign."""
    boxes_raw: Float[Tensor, "v 6"]
    """Centre minus `points` in metres, then the logarithm of the size in metres; single precision."""
    class_logits: Float[Tensor, "v c"]
    """Of every class, single precision."""
    prune_logits: Float[Tensor, " v"] | None
    """Its sigmoid is the probability that nothing smaller is near, so that the voxel may go; single
    precision. None at the finest level, and for TR3D and FCAF3D, which do not prune so."""
    stride: int
    """Voxels along a cell."""


@dataclass(frozen=True, slots=True)
class DSPDet3DOutputs(TensorFields):
    """What a forward pass computes."""

    levels: tuple[LevelOutputs, ...]
    """Finest first; those that pruning left empty have no rows."""


def level_outputs(
    sites: Sites,
    boxes_raw: Float[Tensor, "v 6"],
    class_logits: Float[Tensor, "v c"],
    prune_logits: Float[Tensor, " v"] | None = None,
    *,
    frame: GridFrame,
    stride: int,
    voxel_size_m: float,
) -> LevelOutputs:
    """Put what the heads say about the sites of a stride together with where these are."""
    coords_bzyx = frame.coords(sites.coords, stride=stride)
    xyz = coords_bzyx[:, 1:].flip(1)
    return LevelOutputs(
        points=xyz.float() * voxel_size_m,
        batch_indices=coords_bzyx[:, 0],
        cells=torch.cat([coords_bzyx[:, :1], xyz], dim=1).int(),
        boxes_raw=boxes_raw,
        class_logits=class_logits,
        prune_logits=prune_logits,
        stride=stride,
    )
