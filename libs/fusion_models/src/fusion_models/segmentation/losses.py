"""The losses of LiDAR segmentation put together: cross-entropy, Lovasz-softmax, and the clustering loss."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from sparseops import TensorFields
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


@dataclass(frozen=True, slots=True)
class SegmentationLosses(TensorFields):
    """Scalars, not weighted; None for losses that are left out."""

    weights: LossWeights
    """What the losses weigh in the total."""
    cross_entropy: Float[Tensor, ""] | None = None
    lovasz: Float[Tensor, ""] | None = None
    cluster: Float[Tensor, ""] | None = None
    """The clustering loss, which consists of the next three; see `ClusterLosses`."""
    point_memory: Float[Tensor, ""] | None = None
    in_batch: Float[Tensor, ""] | None = None
    point_centre: Float[Tensor, ""] | None = None

    @property
    def total(self) -> Float[Tensor, ""]:
        """What to minimise: the weighted sum of the losses that are there."""
        weighted = (
            (self.weights.cross_entropy, self.cross_entropy),
            (self.weights.lovasz, self.lovasz),
            (self.weights.cluster, self.cluster),
        )
        return torch.stack([weight * loss for weight, loss in weighted if loss is not None]).sum()


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
        ValueError: No labels; a clustering loss, and no embedding; or nothing is left to learn from.
    """
    if labels is None:
        raise ValueError("segmentation_loss: the batch has no labels; train on labelled scans")
    logits = logits.float()
    found: dict[str, Tensor] = {}
    if weights.cross_entropy:
        found["cross_entropy"] = cross_entropy(logits, labels)
    if weights.lovasz:
        found["lovasz"] = lovasz_softmax(logits.softmax(dim=1), labels, ignored=IGNORED)
    if cluster is not None and weights.cluster:
        if embedding is None:
            raise ValueError(
                "segmentation_loss: the clustering loss needs embeddings; give the network a projection and "
                "put it into training mode, or leave the clustering loss out"
            )
        terms = cluster(embedding, labels, predictions=logits.argmax(dim=1))._asdict()
        found |= {"cluster": terms.pop("total"), **terms}
    if not found:
        raise ValueError(
            f"segmentation_loss: {weights} without a clustering loss leaves nothing to learn from"
        )
    return SegmentationLosses(weights, **found)


def cross_entropy(logits: Float[Tensor, "v c"], labels: Int64[Tensor, " v"]) -> Float[Tensor, ""]:
    """Return the mean cross-entropy of the voxels with a label, of all processes; 0 without any.

    Example:
        >>> round(cross_entropy(torch.zeros(3, 2), torch.tensor([0, 1, 255])).item(), 4)
        0.6931
    """
    count = mean_over_ranks((labels != IGNORED).sum(), at_least=1.0)
    return F.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum") / count
