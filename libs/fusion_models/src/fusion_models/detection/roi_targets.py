"""Targets of the second stage: matching RoIs to objects and sampling them (`roi_iou_x`)."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from sparseops import TensorFields, iou_3d
from torch import Tensor


@dataclass(frozen=True)
class RoiTargetConfig:
    """Sampling and thresholds; thresholds have one entry per class. Defaults: imagepg.yaml, TARGET_CONFIG."""

    rois_per_frame: int = 160
    """RoIs sampled per frame. Source: ROI_PER_IMAGE."""
    foreground_fraction: float = 0.5
    """Largest share of foreground among them. Source: FG_RATIO."""
    score_foreground_iou: tuple[float, ...] = (0.75, 0.65, 0.65)
    """IoU from which the score target is 1. Source: CLS_FG_THRESH."""
    score_background_iou: tuple[float, ...] = (0.25, 0.15, 0.15)
    """IoU up to which it is 0; linear in between. Source: CLS_BG_THRESH."""
    box_foreground_iou: tuple[float, ...] = (0.55, 0.5, 0.5)
    """IoU above which a RoI learns its box. Source: REG_FG_THRESH."""
    easy_background_iou: float = 0.1
    """IoU below which background counts as easy. Source: CLS_BG_THRESH_LO."""
    hard_background_fraction: float = 0.8
    """Share of the hard among the sampled background. Source: HARD_BG_RATIO."""

    def __post_init__(self) -> None:
        thresholds = (self.score_foreground_iou, self.score_background_iou, self.box_foreground_iou)
        if len({len(t) for t in thresholds}) != 1:
            raise ValueError(
                "RoiTargetConfig: score_foreground_iou, score_background_iou and box_foreground_iou need one "
                f"entry per class each, got {thresholds}"
            )
        if any(hi <= lo for hi, lo in zip(self.score_foreground_iou, self.score_background_iou, strict=True)):
            raise ValueError(
                "RoiTargetConfig: score_foreground_iou must exceed score_background_iou, got "
                f"{self.score_foreground_iou} and {self.score_background_iou}"
            )
        if self.rois_per_frame < 1:
            raise ValueError(f"RoiTargetConfig.rois_per_frame must be positive, got {self.rois_per_frame}")


@dataclass(frozen=True, slots=True)
class RoiTargets(TensorFields):
    """Sampled RoIs and what they are to learn; boxes in the frame of the RoIs."""

    index: Int[Tensor, "b s"]
    """Where the RoI came from."""
    rois: Float[Tensor, "b s 7"]
    labels: Int[Tensor, "b s"]
    """Class 1..K; 0 for a padding row."""
    scores: Float[Tensor, "b s"]
    ious: Float[Tensor, "b s"]
    """3D IoU with the best object of the RoI's own class, 0 without one."""
    box_index: Int[Tensor, "b s"]
    """That object, 0 without one."""
    boxes: Float[Tensor, "b s 7"]
    """Its box."""
    score_targets: Float[Tensor, "b s"]
    """Soft label in 0..1."""
    learns_box: Bool[Tensor, "b s"]
    """Foreground for the box losses."""


def match_rois(
    rois: Float[Tensor, "r 7"],
    roi_labels: Int[Tensor, " r"],
    boxes: Float[Tensor, "g 7"],
    labels: Int[Tensor, " g"],
) -> tuple[Float[Tensor, " r"], Int[Tensor, " r"]]:
    """Return the best 3D IoU of each RoI with objects of its class, and that object (first of equals).

    Without an object of the class: IoU 0 and object 0. Rows with label 0 are padding and match nothing.
    """
    if not len(boxes):
        return rois.new_zeros(len(rois)), torch.zeros_like(roi_labels, dtype=torch.int64)
    same_class = (roi_labels[:, None] == labels) & (labels > 0)
    iou = torch.where(same_class, iou_3d(rois[:, :7].detach(), boxes), -1.0)
    best, index = iou.max(1)
    found = same_class.any(1)
    return best.clamp_min(0.0), torch.where(found, index, 0)


def choose_rois(
    ious: np.ndarray, foreground_iou: np.ndarray, hard_iou: np.ndarray, config: RoiTargetConfig, *, seed: int
) -> np.ndarray:
    """Return the indices of the sampled RoIs of one frame: foreground, hard, then easy background.

    Foreground is drawn without repetition, background with. If a frame has only foreground it is drawn with
    repetition, and if it has only one kind of background that kind fills the rest.

    Args:
        ious: IoU of every RoI.
        foreground_iou: Foreground from this IoU on, per RoI (it depends on the class).
        hard_iou: Hard background below this IoU, per RoI.
        seed: The only source of randomness.

    Raises:
        ValueError: No IoU is a number.
    """
    rng = np.random.default_rng(seed)
    wanted = config.rois_per_frame
    foreground = np.flatnonzero(ious >= foreground_iou)
    easy = np.flatnonzero(ious < config.easy_background_iou)
    hard = np.flatnonzero((ious < hard_iou) & (ious >= config.easy_background_iou))
    if not len(easy) + len(hard) + len(foreground):
        raise ValueError(
            f"choose_rois: none of the {len(ious)} RoIs has an IoU that is a number; predicted boxes have "
            "diverged: lower the learning rate, or look for NaN in clouds and weights"
        )
    if not len(easy) + len(hard):
        return rng.choice(foreground, wanted, replace=True)
    count = min(round(wanted * config.foreground_fraction), len(foreground))
    rest = wanted - count
    hard_count = min(int(rest * config.hard_background_fraction), len(hard)) if len(easy) else rest
    return np.concatenate(
        [
            rng.permutation(foreground)[:count],
            hard[rng.integers(len(hard), size=hard_count)] if hard_count else hard[:0],
            easy[rng.integers(len(easy), size=rest - hard_count)] if rest > hard_count else easy[:0],
        ]
    )


def sample_rois(
    rois: Float[Tensor, "b r 7"],
    roi_labels: Int[Tensor, "b r"],
    roi_scores: Float[Tensor, "b r"],
    boxes: Float[Tensor, "b g 7"],
    labels: Int[Tensor, "b g"],
    config: RoiTargetConfig,
    seeds: Int[Tensor, " b"],
) -> RoiTargets:
    """Sample RoIs of every frame and compute their targets, without gradient.

    Args:
        rois: Proposals, zero padded; a padding row (label 0) is easy background.
        boxes: Annotated boxes in the frame of the RoIs, zero padded.
        labels: Class 1..K of each, 0 marks padding.
        seeds: One per frame. The same seed gives the same sample, whatever the rest of the batch; for several
            refinement stages pass different ones.

    Raises:
        ValueError: There are no proposals, or a label exceeds the number of classes of the config.
    """
    _check(rois, roi_labels, config)
    frames = []
    with torch.no_grad(), torch.autocast(rois.device.type, enabled=False):
        for b in range(len(rois)):
            ious, box_index = match_rois(rois[b], roi_labels[b], boxes[b], labels[b])
            box_iou = _per_class(config.box_foreground_iou, roi_labels[b])
            foreground_iou = torch.minimum(box_iou, _per_class(config.score_foreground_iou, roi_labels[b]))
            chosen = choose_rois(
                ious.cpu().numpy(),
                foreground_iou.cpu().numpy(),
                box_iou.cpu().numpy(),
                config,
                seed=int(seeds[b]),
            )
            frames.append((torch.from_numpy(chosen).to(rois.device), ious, box_index))
        index, ious, box_index = (torch.stack(list(parts)) for parts in zip(*frames, strict=True))
        return collect_targets(
            rois, roi_labels, roi_scores, boxes, index=index, ious=ious, box_index=box_index, config=config
        )


def collect_targets(
    rois: Float[Tensor, "b r 7"],
    roi_labels: Int[Tensor, "b r"],
    roi_scores: Float[Tensor, "b r"],
    boxes: Float[Tensor, "b g 7"],
    *,
    index: Int[Tensor, "b s"],
    ious: Float[Tensor, "b r"],
    box_index: Int[Tensor, "b r"],
    config: RoiTargetConfig,
) -> RoiTargets:
    """Return the targets of the RoIs named by `index`, given the matches of all RoIs."""
    labels, ious, box_index = (values.gather(1, index) for values in (roi_labels, ious, box_index))
    if boxes.shape[1]:
        target_boxes = boxes.gather(1, box_index[..., None].expand(-1, -1, 7))
    else:
        target_boxes = boxes.new_zeros(*index.shape, 7)
    low = _per_class(config.score_background_iou, labels)
    high = _per_class(config.score_foreground_iou, labels)
    return RoiTargets(
        index=index,
        rois=rois.gather(1, index[..., None].expand(-1, -1, 7)),
        labels=labels,
        scores=roi_scores.gather(1, index),
        ious=ious,
        box_index=box_index,
        boxes=target_boxes,
        score_targets=((ious - low) / (high - low)).clamp(0.0, 1.0),
        learns_box=ious > _per_class(config.box_foreground_iou, labels),
    )


def _per_class(thresholds: tuple[float, ...], labels: Tensor) -> Tensor:
    table = torch.tensor((thresholds[0], *thresholds), device=labels.device)
    return table[labels.long()]


def _check(rois: Tensor, roi_labels: Tensor, config: RoiTargetConfig) -> None:
    if not rois.shape[1]:
        raise ValueError(
            "sample_rois: rois has no rows; pass at least one proposal per frame (zeros are padding)"
        )
    classes = len(config.box_foreground_iou)
    if int(roi_labels.max()) > classes:
        raise ValueError(
            f"sample_rois: roi_labels go up to {int(roi_labels.max())} but RoiTargetConfig has thresholds "
            f"for {classes} classes; give one entry per class"
        )
