"""Losses of Sparse Beats Dense: depth on labelled pixels, mask on all, summed over the levels."""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from sparseops import TensorFields, downsample_sparse_map
from torch import Tensor

from fusion_models.sparse_beats_dense.batch import DepthBatch
from fusion_models.sparse_beats_dense.model import DepthOutputs

Reduction = Literal["released", "mean"]
"""released: the mean over the labelled pixels of the batch divided by the number of samples;
mean: without that division, so that depth does not weigh less against the mask in larger batches."""


@dataclass(frozen=True, slots=True)
class DepthLosses(TensorFields):
    """Unweighted losses of the levels, coarsest first, and their weighted sum."""

    depth: tuple[Float[Tensor, ""], ...]
    mask: tuple[Float[Tensor, ""], ...] | None
    """None without mask decoder."""

    @property
    def total(self) -> Float[Tensor, ""]:
        """What to minimise: levels weigh 1, 1/2, 1/4 from the finest on. Source: model.py."""
        levels = zip(self.depth, self.mask, strict=True) if self.mask else ((loss,) for loss in self.depth)
        last = len(self.depth) - 1
        return torch.stack([sum(parts) / 2 ** (last - i) for i, parts in enumerate(levels)]).sum()


def depth_completion_loss(
    outputs: DepthOutputs, batch: DepthBatch, *, reduction: Reduction = "released"
) -> DepthLosses:
    """Return the losses of a forward pass, in single precision also under autocast.

    Labels are brought to the size of a level by `downsample_sparse_map`, classes by taking the first pixel
    of each cell. Source: `forward_train` of the released model.py.

    Raises:
        ValueError: The batch has no label, or no classes though the model has mask decoders.
    """
    if batch.label is None:
        raise ValueError(
            "depth_completion_loss: DepthBatch.label is None; collate samples that have a lidar_map"
        )
    if outputs.mask_logits is not None and batch.radar_classes is None:
        raise ValueError(
            "depth_completion_loss: the model has mask decoders but DepthBatch.radar_classes is None; read "
            "samples with masks, or build the model with mask_decoder=False"
        )
    label = _on_canvas(batch.label, outputs).clamp(min=0)
    factors = [2**level for level in reversed(range(len(outputs.depths)))]
    depth, mask = [], []
    for factor, predicted in zip(factors, outputs.depths, strict=True):
        target = downsample_sparse_map(label, factor)
        depth.append(masked_smooth_l1(predicted, target, target > 0, reduction=reduction))
    if outputs.mask_logits is None or batch.radar_classes is None:
        return DepthLosses(tuple(depth), None)
    classes = _on_canvas(batch.radar_classes, outputs)
    for factor, logits in zip(factors, outputs.mask_logits, strict=True):
        mask.append((logits.float().sigmoid() - classes[:, :, ::factor, ::factor].float()).abs().mean())
    return DepthLosses(tuple(depth), tuple(mask))


def masked_smooth_l1(
    predicted: Float[Tensor, "b 1 h w"],
    target: Float[Tensor, "b 1 h w"],
    valid: Bool[Tensor, "b 1 h w"],
    *,
    reduction: Reduction = "released",
) -> Float[Tensor, ""]:
    """Return the smooth L1 loss (0.5 d^2 below 1, |d| - 0.5 above) of the valid pixels; 0 without any.

    Divided by their number in the whole batch and, as released, once more by the batch size; see `Reduction`.

    Example:
        >>> zero, four = torch.zeros(2, 1, 1, 1), torch.full((2, 1, 1, 1), 4.0)
        >>> tuple(masked_smooth_l1(zero, four, four > 0, reduction=r).item() for r in ("released", "mean"))
        (1.75, 3.5)
    """
    loss = F.smooth_l1_loss(predicted.float(), target.float(), reduction="none")
    mean = loss.where(valid, 0).sum() / valid.sum().clamp(min=1)
    return mean / len(predicted) if reduction == "released" else mean


def _on_canvas(x: Tensor, outputs: DepthOutputs) -> Tensor:
    """Return a map padded with zeros to the size of the finest level."""
    height, width = outputs.depths[-1].shape[2:]
    return F.pad(x, (0, width - x.shape[3], 0, height - x.shape[2]))
