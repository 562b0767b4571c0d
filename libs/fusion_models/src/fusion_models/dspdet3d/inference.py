"""From what the heads say to detections: decoding, the best of all levels, suppression of doubles."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int64
from sparseops import TensorFields, nms_aligned_3d, nms_aligned_bev
from torch import Tensor

from fusion_models.dspdet3d.config import Overlap
from fusion_models.dspdet3d.outputs import DSPDet3DOutputs

_SUPPRESSION = {"bev": nms_aligned_bev, "3d": nms_aligned_3d}


@runtime_checkable
class DetectionRule(Protocol):
    """Which boxes become objects: a part of the configuration of every detector; see `DSPDet3DConfig`."""

    @property
    def nms_pre(self) -> int:
        """Locations of a room that become boxes."""
        ...

    @property
    def score_threshold(self) -> float:
        """A detection has a higher score, strictly."""
        ...

    @property
    def nms_iou(self) -> float:
        """A box removes weaker ones of its class that overlap more, strictly."""
        ...

    @property
    def nms_overlap(self) -> Overlap:
        """How boxes overlap."""
        ...


@dataclass(frozen=True, slots=True)
class RoomDetections(TensorFields):
    """The objects found in one room, best first; of equal scores in the order of voxels, then of classes."""

    boxes: Float[Tensor, "k 6"]
    """Centre x y z and size dx dy dz in metres, along the axes of the `aligned` frame."""
    scores: Float[Tensor, " k"]
    """0..1."""
    labels: Int64[Tensor, " k"]
    """Index of the class."""

    def __len__(self) -> int:
        """Count the objects."""
        return len(self.scores)


def decode_boxes(points: Float[Tensor, "v 3"], boxes_raw: Float[Tensor, "v 6"]) -> Float[Tensor, "v 6"]:
    """Return centre and size in metres: points + the first three numbers, exp of the others; float32.

    Example:
        >>> decode_boxes(torch.tensor([[1.0, 0.0, 2.0]]), torch.tensor([[0.5, 0.0, -1.0, 0.0, 0.0, 0.0]]))
        tensor([[1.5000, 0.0000, 1.0000, 1.0000, 1.0000, 1.0000]])
    """
    raw = boxes_raw.float()
    return torch.cat([points.float() + raw[:, :3], raw[:, 3:].exp()], dim=1)


@torch.no_grad()
def detect(outputs: DSPDet3DOutputs, config: DetectionRule, batch_size: int) -> list[RoomDetections]:
    """Return the objects of every room; none for a room without voxels or with low scores alone.

    Of all levels together the `nms_pre` voxels with the best class score count, of equal scores those of
    the coarser level, then lower rows. A voxel may become an object of each class with a score above
    `score_threshold`; each class is suppressed by itself. Source: released head.

    Args:
        batch_size: Number of rooms; the last ones may have no voxels.
    """
    levels = outputs.levels[::-1]
    rooms = torch.cat([level.batch_indices for level in levels])
    points = torch.cat([level.points for level in levels])
    boxes_raw = torch.cat([level.boxes_raw for level in levels])
    scores = torch.cat([level.class_logits.float().sigmoid() for level in levels])
    best = scores.amax(1)
    found = []
    for room in range(batch_size):
        rows = (rooms == room).nonzero()[:, 0]
        rows = rows[best[rows].argsort(descending=True, stable=True)[: config.nms_pre]]
        boxes = decode_boxes(points[rows], boxes_raw[rows])
        found.append(
            best_of_classes(
                boxes,
                scores[rows],
                score_threshold=config.score_threshold,
                nms_iou=config.nms_iou,
                nms_overlap=config.nms_overlap,
            )
        )
    return found


def best_of_classes(
    boxes: Float[Tensor, "v 6"],
    scores: Float[Tensor, "v c"],
    *,
    score_threshold: float,
    nms_iou: float,
    nms_overlap: Overlap,
) -> RoomDetections:
    """Return the boxes with a score above a threshold (strictly) that none of their class removes.

    Args:
        nms_iou: A box removes weaker ones of its class that overlap more, strictly.
        nms_overlap: `"bev"` ignores height (`sparseops.nms_aligned_bev`), `"3d"` does not.

    Example:
        >>> stacked = torch.tensor([[0.0, 0, 0, 1, 1, 1], [0.0, 0, 2, 1, 1, 1]])
        >>> scores, limits = torch.tensor([[0.9, 0.0], [0.8, 0.4]]), {"score_threshold": 0.1, "nms_iou": 0.5}
        >>> best_of_classes(stacked, scores, nms_overlap="bev", **limits).labels.tolist()
        [0, 1]
        >>> best_of_classes(stacked, scores, nms_overlap="3d", **limits).labels.tolist()
        [0, 0, 1]
    """
    rows, labels = (scores > score_threshold).nonzero(as_tuple=True)
    boxes, scores = boxes[rows], scores[rows, labels]
    with_yaw = torch.nn.functional.pad(boxes, (0, 1))
    kept = _SUPPRESSION[nms_overlap](with_yaw, scores, iou_threshold=nms_iou, labels=labels)
    return RoomDetections(boxes[kept], scores[kept], labels[kept])
