"""From refined boxes to detections: score thresholds and final suppression.

Source: `post_processing` of the released config; imagepg.yaml, POST_PROCESSING.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from sparseops import nms_bev
from torch import Tensor

from fusion_models.detection.batch import Detections


@dataclass(frozen=True)
class PostProcessConfig:
    """Thresholds of the final detections. Source: imagepg.yaml, POST_PROCESSING."""

    score_threshold: float = 0.1
    """SCORE_THRESH, before suppression."""
    iou_threshold: float = 0.1
    """NMS_THRESH: a box is dropped if its rotated BEV IoU with a better one, of any class, is above this."""
    pre_max: int = 4096
    """NMS_PRE_MAXSIZE."""
    post_max: int = 500
    """NMS_POST_MAXSIZE."""
    class_thresholds: tuple[float, ...] = (0.3, 0.3, 0.3)
    """CAT_THRESH per class, after suppression; this is what decides (the paper's code has 0.1 and 0.3)."""


@torch.no_grad()
def post_process(
    boxes: Float[Tensor, "b r 7"],
    logits: Float[Tensor, "b r"],
    labels: Int[Tensor, "b r"],
    *,
    config: PostProcessConfig,
) -> list[Detections]:
    """Return the detections of every frame, best first; a score is the sigmoid of its logit, label 0 padding.

    Raises:
        ValueError: A label exceeds the classes that have a threshold.
    """
    if labels.numel() and int(labels.max()) > len(config.class_thresholds):
        raise ValueError(
            f"post_process: label {int(labels.max())} but PostProcessConfig.class_thresholds has "
            f"{len(config.class_thresholds)} entries; give one threshold per class"
        )
    thresholds = boxes.new_tensor((torch.inf, *config.class_thresholds))
    result = []
    for frame in range(boxes.shape[0]):
        scores = logits[frame].sigmoid()
        candidates = ((scores >= config.score_threshold) & (labels[frame] > 0)).nonzero()[:, 0]
        keep = nms_bev(
            boxes[frame, candidates],
            scores[candidates],
            iou_threshold=config.iou_threshold,
            pre_max=config.pre_max,
            post_max=config.post_max,
        )
        keep = candidates[keep]
        keep = keep[scores[keep] >= thresholds[labels[frame, keep]]]
        result.append(Detections(boxes[frame, keep], scores[keep], labels[frame, keep]))
    return result
