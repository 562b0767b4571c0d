"""The official evaluation, the stripes, and the errors against dense truth where a synthetic world has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from evaluators.depth import DepthEvaluator, DepthResult, write_depth_png
from fusion_models.sparse_beats_dense.batch import DepthBatch
from jaxtyping import Float

PROTOCOL = "sparse-beats-dense"
LONGEST_PNG_M = 255.99
"""What a depth PNG can hold; farther predictions are written as this, and evaluated as they are."""


@dataclass(frozen=True, slots=True)
class DepthScores:
    """The figures of one evaluation."""

    lidar: DepthResult
    """Against the single LiDAR sweep, as published, with the stripe measures."""
    truth: DepthResult | None
    """Against the depth of every pixel; None without synthetic truth."""

    def headline(self) -> dict[str, float]:
        """Return MAE and RMSE in metres up to each cap, by image as published, and the stripes."""
        found = {
            f"{metric.removesuffix('_m')}_{cap:g}_m": self.lidar.value(metric, cap_m=cap)
            for cap in self.lidar.caps_m
            for metric in ("mae_m", "rmse_m")
        }
        if self.truth is not None:
            found["true_mae_80_m"] = self.truth.value("mae_m", cap_m=80)
        stripes = {"row_ripple": self.lidar.row_ripple, "beam_contrast": self.lidar.beam_contrast}
        return found | stripes

    def to_json(self) -> dict[str, Any]:
        """Return everything as values that `json.dumps` takes."""
        return {
            "lidar": self.lidar.to_json(),
            "true_depth": None if self.truth is None else self.truth.to_json(),
        }


class DepthEvaluation:
    """Collects predictions, on one process or many.

    Images without ground truth are left out of the means over images and counted; so are, as published,
    pixels that points behind the camera have overwritten with negative depths.
    """

    def __init__(self) -> None:
        self._lidar = DepthEvaluator(protocol=PROTOCOL)
        self._truth = DepthEvaluator(protocol=PROTOCOL, stripes=False)

    def update(self, batch: DepthBatch, depth: Float[torch.Tensor, "b 1 h w"]) -> None:
        """Add the predictions of a batch.

        Raises:
            ValueError: The batch has no ground truth, or a prediction is not finite.
        """
        if batch.label is None:
            raise ValueError("DepthEvaluation: the batch has no ground truth; read evaluation samples")
        found = _arrays(depth)
        maps = {"lidar": _arrays(batch.label)}
        if batch.true_depth is not None:
            maps["truth"] = _arrays(batch.true_depth)
        for i, frame_id in enumerate(batch.frame_ids):
            self._lidar.update(frame_id, np.maximum(maps["lidar"][i], 0), found[i])
            if "truth" in maps:
                self._truth.update(frame_id, maps["truth"][i], found[i])

    def gather(self) -> None:
        """Merge what the processes of a distributed evaluation hold, so that each has it all."""
        if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
            return
        rank = torch.distributed.get_rank()
        states: list[Any] = [None] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(states, (self._lidar.state(), self._truth.state()))
        for other, (lidar, truth) in enumerate(states):
            if other != rank:
                self._lidar.merge_state(lidar)
                self._truth.merge_state(truth)

    def compute(self) -> DepthScores:
        """Return the figures.

        Raises:
            ValueError: No images.
        """
        return DepthScores(self._lidar.compute(), self._truth.compute() if len(self._truth) else None)


def score_maps(
    truth: Mapping[str, np.ndarray], depth: Mapping[str, np.ndarray], *, stripes: bool = False
) -> DepthResult:
    """Return the official figures of depth maps [h, w] in metres, by frame."""
    evaluator = DepthEvaluator(protocol=PROTOCOL, stripes=stripes)
    for frame_id, target in truth.items():
        evaluator.update(frame_id, np.maximum(target, 0), depth[frame_id])
    return evaluator.compute()


def write_depth(path: Path, depth_m: Float[np.ndarray, "h w"]) -> None:
    """Write a depth map as a 16-bit PNG, metres times 256, whole or not at all."""
    write_depth_png(path, np.clip(depth_m, 0, LONGEST_PNG_M))


def _arrays(maps: torch.Tensor) -> np.ndarray:
    return maps[:, 0].float().cpu().numpy()
