"""The losses of LiDAR segmentation put together: cross-entropy, Lovasz-softmax, and the clustering loss."""

from dataclasses import dataclass
from typing import NamedTuple

import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from fusion_models.layers.losses import mean_over_ranks
from fusion_models.layers.lovasz import lovasz_softmax
from fusion_models.segmentation.cluster_loss import IGNORED, WithinClassClusterLoss


@dataclass(frozen=True)
class LossWeights:
    """What every loss weighs; 0 leaves it out. Source: Cluster3DSeg has 1, 1, 1; SPVNAS 1, 0, 0."""

    cross_entropy: float = 1.0
    lovasz: float = 1.0
    cluster: float = 1.0
    """On the total of the clustering loss, which has a factor of its own."""

    def __post_init__(self) -> None:
        """Check that something is left."""
        weights = (self.cross_entropy, self.lovasz, self.cluster)
        if min(weights) < 0 or max(weights) == 0:
            raise ValueError(f"LossWeights must not be negative and not all be 0, got {weights}")


class SegmentationLosses(NamedTuple):
    """Scalars, not weighted but for the total; None for losses that are left out."""

    total: Float[Tensor, ""]
    cross_entropy: Float[Tensor, ""] | None
    lovasz: Float[Tensor, ""] | None
    point_memory: Float[Tensor, ""] | None
    in_batch: Float[Tensor, ""] | None
    point_centre: Float[Tensor, ""] | None


def segmentation_loss(
    logits: Float[Tensor, "v c"],
    labels: Int64[Tensor, " v"] | None,
    *,
    weights: LossWeights,
    embedding: Float[Tensor, "v d"] | None = None,
    cluster: WithinClassClusterLoss | None = None,
) -> SegmentationLosses:
    """Return the losses of a batch, in single precision also under autocast; 0 where no voxel has a label.

    With several processes cross-entropy and clustering loss are those of the joined batch; Lovasz is each
    process's own, as released.

    Args:
        logits: Of every voxel.
        labels: Class of every voxel, 255 where there is none.
        weights: What the losses weigh.
        embedding: Of every voxel, for the clustering loss.
        cluster: The clustering loss; None leaves it out, whatever it weighs.

    Raises:
        ValueError: No labels; or a clustering loss, and no embedding.
    """
    if labels is None:
        raise ValueError("segmentation_loss: the batch has no labels; train on labelled scans")
    logits = logits.float()
    terms: dict[str, Tensor | None] = dict.fromkeys(SegmentationLosses._fields)
    total = logits.sum() * 0
    if weights.cross_entropy:
        terms["cross_entropy"] = cross_entropy(logits, labels)
        total = total + weights.cross_entropy * terms["cross_entropy"]
    if weights.lovasz:
        terms["lovasz"] = lovasz_softmax(logits.softmax(dim=1), labels, ignored=IGNORED)
        total = total + weights.lovasz * terms["lovasz"]
    if cluster is not None and weights.cluster:
        if embedding is None:
            raise ValueError(
                "segmentation_loss: the clustering loss needs embeddings; give the network a projection and "
                "put it into training mode, or leave the clustering loss out"
            )
        found = cluster(embedding, labels, predictions=logits.argmax(dim=1))
        total = total + weights.cluster * found.total
        terms |= found._asdict()
    return SegmentationLosses(**terms | {"total": total})  # pyright: ignore[reportArgumentType]  (its fields)


def cross_entropy(logits: Float[Tensor, "v c"], labels: Int64[Tensor, " v"]) -> Float[Tensor, ""]:
    """Return the mean cross-entropy of the voxels with a label, of all processes; 0 without any.

    Example:
        >>> import torch
        >>> round(cross_entropy(torch.zeros(3, 2), torch.tensor([0, 1, 255])).item(), 4)
        0.6931
    """
    count = mean_over_ranks((labels != IGNORED).sum(), at_least=1.0)
    return F.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum") / count
