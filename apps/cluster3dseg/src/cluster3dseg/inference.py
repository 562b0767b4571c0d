"""A class for every point of a scan, from one look at it or from several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from datasets3d.segmentation import LabelledScan, SamplingConfig, View, apply_view, make_sample
from fusion_models.segmentation import SegmentationNet, collate_segmentation
from jaxtyping import Float, UInt8


@torch.no_grad()
def class_probabilities(
    network: SegmentationNet, scan: LabelledScan, sampling: SamplingConfig, *, views: Sequence[View]
) -> Float[torch.Tensor, "n classes"]:
    """Return the probability of every class for every point, averaged over views, on the network's device.

    Args:
        network: In eval mode.
        scan: Any scan with x y z and intensity; its labels do not matter.
        sampling: Voxels; all of them are kept.
        views: How the scan is turned and scaled, see `datasets3d.segmentation.VIEWS`.
    """
    device = next(network.parameters()).device
    whole = replace(sampling, max_voxels=None)
    total = torch.zeros(len(scan), len(network.config.class_names), device=device)
    for view in views:
        batch = collate_segmentation([make_sample(apply_view(scan, view), whole)]).to(device)
        total += network.predict(batch)[0].probabilities
    return total / len(views)


def classes_of_points(
    network: SegmentationNet, scan: LabelledScan, sampling: SamplingConfig, *, views: Sequence[View]
) -> UInt8[np.ndarray, " n"]:
    """Return the likeliest class of every point; of two that are equal, the first."""
    found = class_probabilities(network, scan, sampling, views=views)
    return found.argmax(dim=1).to(torch.uint8).cpu().numpy()
