"""What DSPDet3D computes for the voxels of every level."""

from dataclasses import dataclass

from jaxtyping import Float, Int32, Int64
from sparseops import TensorFields
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
    precision. None at the finest level."""
    stride: int
    """Voxels along a cell."""


@dataclass(frozen=True, slots=True)
class DSPDet3DOutputs(TensorFields):
    """What a forward pass computes."""

    levels: tuple[LevelOutputs, ...]
    """Finest first; those that pruning left empty have no rows."""
