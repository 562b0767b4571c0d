"""The anchor head of the proposal network: class, box code and direction of every anchor, and their losses.

Source: SECOND, section 3.1.3; `AnchorHeadSingle` of the released config (imagepg.yaml, DENSE_HEAD).
"""

import math
from dataclasses import dataclass

import torch
from geom3d.angles import wrap_angle
from jaxtyping import Float, Int
from sparseops import TensorFields
from torch import Tensor, nn

from fusion_models.detection.anchors import KITTI_ANCHORS, AnchorClass, AnchorTargets, anchor_grid
from fusion_models.detection.box_coder import decode_boxes
from fusion_models.detection.box_losses import code_difference, direction_bins, direction_loss
from fusion_models.layers.losses import sigmoid_focal, smooth_l1


@dataclass(frozen=True)
class AnchorHeadConfig:
    """Anchors, heading bins and loss weights. Source: imagepg.yaml, DENSE_HEAD."""

    classes: tuple[AnchorClass, ...] = KITTI_ANCHORS
    """Class k of the labels is entry k - 1. Source: ANCHOR_GENERATOR_CONFIG."""
    rotations_rad: tuple[float, ...] = (0.0, 1.57)
    """Headings of the anchors of every class. Source: anchor_rotations."""
    direction_offset_rad: float = 0.78539
    """DIR_OFFSET; the limit offset is 0."""
    direction_bins: int = 2
    """NUM_DIR_BINS."""
    focal_alpha: float = 0.25
    """Weight of the positives in the class loss; negatives get the rest of 1."""
    focal_gamma: float = 2.0
    """Its focusing exponent."""
    smooth_l1_beta: float = 1.0 / 9.0
    """Where the parabola of the box loss meets its line."""
    class_weight: float = 1.0
    """LOSS_WEIGHTS.cls_weight."""
    box_weight: float = 2.0
    """LOSS_WEIGHTS.loc_weight."""
    direction_weight: float = 0.2
    """LOSS_WEIGHTS.dir_weight."""
    prior: float = 0.01
    """Initial foreground probability of every anchor: class bias -log(99)."""

    def __post_init__(self) -> None:
        names = [anchor.name for anchor in self.classes]
        if not names or len(set(names)) != len(names) or "DontCare" in names:
            raise ValueError(
                "AnchorHeadConfig.classes: expected at least one class, each once, and none called DontCare, "
                f"got {names}"
            )

    @property
    def anchors_per_cell(self) -> int:
        """Anchors at one cell of the map."""
        return len(self.classes) * len(self.rotations_rad)


@dataclass(frozen=True, slots=True)
class AnchorOutputs(TensorFields):
    """Predictions for all anchors, in the order y, x, class, rotation of the anchor."""

    class_logits: Float[Tensor, "b a k"]
    codes: Float[Tensor, "b a 7"]
    direction_logits: Float[Tensor, "b a d"]
    anchors: Float[Tensor, "y x k r 7"]
    """The anchors themselves, x y z dx dy dz yaw in the LiDAR frame."""


@dataclass(frozen=True, slots=True)
class AnchorLosses(TensorFields):
    """Weighted terms; their sum is the loss of the proposal network."""

    classification: Float[Tensor, ""]
    box: Float[Tensor, ""]
    direction: Float[Tensor, ""]

    @property
    def total(self) -> Tensor:
        """Sum of the terms."""
        return self.classification + self.box + self.direction


class AnchorHead(nn.Module):
    """Three 1x1 convolutions over the BEV map."""

    anchors: Tensor

    def __init__(
        self,
        in_channels: int,
        config: AnchorHeadConfig,
        *,
        bounds: tuple[float, float, float, float, float, float],
        map_size_yx: tuple[int, int],
    ) -> None:
        super().__init__()
        self.config = config
        count = config.anchors_per_cell
        self.classes = nn.Conv2d(in_channels, count * len(config.classes), 1)
        self.boxes = nn.Conv2d(in_channels, count * 7, 1)
        self.directions = nn.Conv2d(in_channels, count * config.direction_bins, 1)
        nn.init.constant_(self.classes.bias, -math.log((1 - config.prior) / config.prior))  # pyright: ignore[reportArgumentType]
        nn.init.normal_(self.boxes.weight, std=0.001)
        anchors = anchor_grid(
            config.classes, rotations_rad=config.rotations_rad, bounds=bounds, map_size_yx=map_size_yx
        )
        self.register_buffer("anchors", anchors, persistent=False)

    def forward(self, bev: Float[Tensor, "b c y x"]) -> AnchorOutputs:
        """Return the predictions for every anchor.

        Raises:
            ValueError: The map has another size than the anchors.
        """
        if bev.shape[2:] != self.anchors.shape[:2]:
            raise ValueError(
                f"AnchorHead: map of {tuple(bev.shape[2:])} cells, but the anchors were laid out on "
                f"{tuple(self.anchors.shape[:2])}; build the head with the size of the backbone's output"
            )
        return AnchorOutputs(
            class_logits=_per_anchor(self.classes(bev), len(self.config.classes)),
            codes=_per_anchor(self.boxes(bev), 7),
            direction_logits=_per_anchor(self.directions(bev), self.config.direction_bins),
            anchors=self.anchors,
        )


def anchor_loss(outputs: AnchorOutputs, targets: AnchorTargets, config: AnchorHeadConfig) -> AnchorLosses:
    """Return the losses of the proposal network, each frame divided by its positives, mean over frames.

    Focal loss over the anchors that are not ignored; smooth-L1 of the codes (sine of the heading difference)
    and cross entropy of the heading bin over the positives. A frame without positives is divided by 1.
    """
    batch_size = outputs.class_logits.shape[0]
    positives = (targets.labels > 0).sum(dim=1).clamp_min(1)
    classes = torch.arange(1, outputs.class_logits.shape[2] + 1, device=targets.labels.device)
    one_hot = (targets.labels[..., None] == classes).to(outputs.class_logits.dtype)
    focal = sigmoid_focal(outputs.class_logits, one_hot, alpha=config.focal_alpha, gamma=config.focal_gamma)
    focal = (focal.sum(dim=2) * (targets.labels >= 0)).sum(dim=1) / positives

    weight = 1.0 / (positives[targets.frame_index] * batch_size)
    chosen = (targets.frame_index, targets.anchor_index)
    difference = code_difference(outputs.codes[chosen], targets.codes)
    box = smooth_l1(difference, beta=config.smooth_l1_beta).sum(dim=1)
    bins = direction_bins(targets.yaw_rad, offset_rad=config.direction_offset_rad, bins=config.direction_bins)
    direction = direction_loss(outputs.direction_logits[chosen], bins)
    return AnchorLosses(
        classification=config.class_weight * focal.mean(),
        box=config.box_weight * (box * weight).sum(),
        direction=config.direction_weight * (direction * weight).sum(),
    )


def decode_anchors(
    outputs: AnchorOutputs, config: AnchorHeadConfig, *, indices: Int[Tensor, "b n"]
) -> Float[Tensor, "b n 7"]:
    """Return the boxes predicted at some anchors of every frame; headings follow the predicted bin.

    The coded heading is known up to a turn by the bin width (pi for two bins): it is wrapped into the bin's
    range `[offset, offset + width)` and the winning bin (the first of equals) is added.

    Args:
        indices: Rows of the anchor axis, per frame.
    """
    anchors = outputs.anchors.reshape(-1, 7)[indices]
    boxes = decode_boxes(_pick(outputs.codes, indices), anchors)
    width = 2 * math.pi / config.direction_bins
    offset = config.direction_offset_rad
    bins = _pick(outputs.direction_logits, indices).argmax(dim=-1).to(boxes.dtype)
    yaw = wrap_angle(boxes[..., 6] - offset, period=width, offset=0.0) + offset + width * bins
    return torch.cat([boxes[..., :6], yaw[..., None]], dim=-1)


def _per_anchor(maps: Tensor, size: int) -> Tensor:
    batch_size = maps.shape[0]
    return maps.permute(0, 2, 3, 1).reshape(batch_size, -1, size).float()


def _pick(values: Tensor, indices: Tensor) -> Tensor:
    return values.gather(1, indices[..., None].expand(-1, -1, values.shape[2]))
