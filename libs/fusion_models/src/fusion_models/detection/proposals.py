"""From anchor predictions to regions of interest: best candidates, decoding, suppression, padding.

Source: `proposal_layer` of the released config; imagepg.yaml, ROI_HEAD.NMS_CONFIG.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from sparseops import TensorFields, nms_bev
from torch import Tensor

from fusion_models.detection.anchor_head import AnchorHeadConfig, AnchorOutputs, decode_anchors


@dataclass(frozen=True)
class ProposalConfig:
    """How many candidates survive. Defaults: imagepg.yaml, NMS_CONFIG.TRAIN."""

    pre_max: int = 9000
    """Candidates that enter the suppression, the best by class logit."""
    threshold: float = 0.8
    """A box is dropped if its rotated BEV IoU with a better one is above this; classes are not told apart."""
    post_max: int = 512
    """Proposals per frame."""

    def __post_init__(self) -> None:
        if self.pre_max < 1 or self.post_max < 1:
            raise ValueError(
                f"ProposalConfig: pre_max and post_max must be at least 1, got {self.pre_max} "
                f"and {self.post_max}"
            )


TEST_PROPOSALS = ProposalConfig(pre_max=2048, threshold=0.7, post_max=100)
"""Source: imagepg.yaml, NMS_CONFIG.TEST."""


@dataclass(frozen=True, slots=True)
class Proposals(TensorFields):
    """Regions of interest per frame, best first; rows that are not filled are zero, with label 0."""

    boxes: Float[Tensor, "b r 7"]
    """x y z dx dy dz yaw in the LiDAR frame."""
    scores: Float[Tensor, "b r"]
    """Logit of the best class."""
    labels: Int[Tensor, "b r"]
    """That class, 1..K, the first of equals; 0 = padding."""


@torch.no_grad()
def propose(outputs: AnchorOutputs, head: AnchorHeadConfig, *, config: ProposalConfig) -> Proposals:
    """Return the proposals of the anchor head, without gradient; only the `pre_max` best are decoded."""
    scores, labels, order = best_candidates(outputs.class_logits, pre_max=config.pre_max)
    return suppress(decode_anchors(outputs, head, indices=order), scores, labels, config=config)


def best_candidates(
    logits: Float[Tensor, "b n k"], *, pre_max: int
) -> tuple[Float[Tensor, "b m"], Int[Tensor, "b m"], Int[Tensor, "b m"]]:
    """Return logit, class (1..K) and row of the best m = min(n, pre_max) candidates, best first, ties by row.

    Example:
        >>> logits = torch.tensor([[[0.0, 1.0], [3.0, 2.0], [1.0, 0.0]]])
        >>> scores, labels, rows = best_candidates(logits, pre_max=2)
        >>> scores.tolist(), labels.tolist(), rows.tolist()
        ([[3.0, 1.0]], [[1, 2]], [[1, 0]])
    """
    best, classes = logits.max(dim=2)
    order = best.argsort(dim=1, descending=True, stable=True)[:, :pre_max]
    return best.gather(1, order), classes.gather(1, order) + 1, order


def suppress(
    boxes: Float[Tensor, "b n 7"],
    scores: Float[Tensor, "b n"],
    labels: Int[Tensor, "b n"],
    *,
    config: ProposalConfig,
) -> Proposals:
    """Return what is left of every frame's candidates after suppression, zero padded to `post_max` rows."""
    batch_size = boxes.shape[0]
    kept_boxes = boxes.new_zeros(batch_size, config.post_max, 7)
    kept_scores = scores.new_zeros(batch_size, config.post_max)
    kept_labels = labels.new_zeros(batch_size, config.post_max)
    for frame in range(batch_size):
        keep = nms_bev(
            boxes[frame],
            scores[frame],
            iou_threshold=config.threshold,
            pre_max=config.pre_max,
            post_max=config.post_max,
        )
        kept_boxes[frame, : len(keep)] = boxes[frame, keep]
        kept_scores[frame, : len(keep)] = scores[frame, keep]
        kept_labels[frame, : len(keep)] = labels[frame, keep]
    return Proposals(kept_boxes, kept_scores, kept_labels)
