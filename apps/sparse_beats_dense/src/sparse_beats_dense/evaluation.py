"""The official evaluation, with stripes, and errors against dense truth where a synthetic world has it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from evaluators.depth import DepthEvaluator, DepthResult, write_depth_png
from fusion_models.sparse_beats_dense.batch import DepthBatch
from jaxtyping import Float

PROTOCOL = "sparse-beats-dense"
LONGEST_PNG_M = 255.99
"""What a depth PNG can hold; farther predictions are written as this, and evaluated as they are."""


def make_evaluators() -> dict[str, DepthEvaluator]:
    """Return the evaluators by the names of their results.

    `lidar` compares with the single LiDAR sweep, as published, and measures stripes; `true_depth` compares
    with the depth of every pixel and stays empty without synthetic truth.
    """
    return {
        "lidar": DepthEvaluator(protocol=PROTOCOL),
        "true_depth": DepthEvaluator(protocol=PROTOCOL, stripes=False),
    }


def update(
    evaluators: Mapping[str, DepthEvaluator], batch: DepthBatch, depth: Float[torch.Tensor, "b 1 h w"]
) -> None:
    """Add the predictions of a batch.

    Images without ground truth are left out of the means over images and counted; so are, as published,
    pixels that points behind the camera have overwritten with negative depths.

    Raises:
        ValueError: The batch has no ground truth, or a prediction is not finite.
    """
    if batch.label is None:
        raise ValueError("evaluation: the batch has no ground truth; read evaluation samples")
    maps = {"lidar": np.maximum(_arrays(batch.label), 0)}
    if batch.true_depth is not None:
        maps["true_depth"] = _arrays(batch.true_depth)
    found = _arrays(depth)
    for i, frame_id in enumerate(batch.frame_ids):
        for name, truth in maps.items():
            evaluators[name].update(frame_id, truth[i], found[i])


def compute(evaluators: Mapping[str, DepthEvaluator]) -> dict[str, DepthResult]:
    """Return the results; without synthetic truth there is no `true_depth`.

    Raises:
        ValueError: No images.
    """
    return {
        name: evaluator.compute()
        for name, evaluator in evaluators.items()
        if name == "lidar" or len(evaluator)
    }


def headline(results: Mapping[str, DepthResult]) -> dict[str, float]:
    """Return MAE and RMSE in metres up to each cap, by image as published, and the stripes."""
    lidar = results["lidar"]
    found = {
        f"{metric.removesuffix('_m')}_{cap:g}_m": lidar.value(metric, cap_m=cap)
        for cap in lidar.caps_m
        for metric in ("mae_m", "rmse_m")
    }
    if "true_depth" in results:
        found["true_mae_80_m"] = results["true_depth"].value("mae_m", cap_m=80)
    return found | {"row_ripple": lidar.row_ripple, "beam_contrast": lidar.beam_contrast}


def score_maps(truth: Mapping[str, np.ndarray], depth: Mapping[str, np.ndarray]) -> DepthResult:
    """Return the official figures, without stripes, of depth maps [h, w] in metres, by frame."""
    evaluator = DepthEvaluator(protocol=PROTOCOL, stripes=False)
    for frame_id, target in truth.items():
        evaluator.update(frame_id, np.maximum(target, 0), depth[frame_id])
    return evaluator.compute()


def write_depth(path: Path, depth_m: Float[np.ndarray, "h w"]) -> None:
    """Write a depth map as a 16-bit PNG, metres times 256, whole or not at all."""
    write_depth_png(path, np.clip(depth_m, 0, LONGEST_PNG_M))


def _arrays(maps: torch.Tensor) -> np.ndarray:
    return maps[:, 0].float().cpu().numpy()
