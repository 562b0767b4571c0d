"""The app's own part of a report: models and baselines side by side, depth maps, error maps, stripe maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from datasets3d.depth import DepthSample
from evaluators.depth import DepthResult
from evaluators.page import Table
from fusion3d_appkit import report
from fusion3d_appkit.report import Chapter, spread
from fusion3d_appkit.sampling import Draw
from fusion_models.sparse_beats_dense.batch import collate_depth
from fusion_models.sparse_beats_dense.model import SparseBeatsDense

from sparse_beats_dense.pictures import draw_depth, draw_errors, draw_radar, draw_stripes
from sparse_beats_dense.task import DepthTask

SHOWN_FRAMES = 6
STRIPES = (
    "A LiDAR hits nearly the same rows of the picture in every frame. A network trained on single sweeps can "
    "learn those rows instead of the scene; its depth then differs between beams and the gaps between them, "
    "which errors measured on the beams do not see. The pictures of stripes show it, and two measures above: "
    "row ripple, how far whole rows stand out from the rows around them, and beam contrast, how far beams "
    "stand out from gaps."
)


def compare(results: Mapping[str, DepthResult]) -> Table:
    """Return MAE and RMSE in mm up to each cap, of every model or baseline."""
    caps = next(iter(results.values())).caps_m
    rows = []
    for name, result in results.items():
        values = [1000 * result.value(metric, cap_m=cap) for cap in caps for metric in ("mae_m", "rmse_m")]
        rows.append([name, *["-" if np.isnan(value) else f"{value:.0f}" for value in values]])
    return Table(
        title="Errors in mm, averaged by image as published",
        header=["depth by", *[f"{name} 0-{cap:g} m" for cap in caps for name in ("MAE", "RMSE")]],
        rows=rows,
    )


def picture_chapter(shown: Sequence[tuple[DepthSample, np.ndarray]]) -> Chapter:
    """Return what the model saw and found in some frames [h, w], with its errors and stripes."""
    rows = []
    for sample, depth in shown:
        pictures = [
            (draw_radar(sample.image, sample.radar_map), "what the model sees"),
            (draw_depth(depth, title="predicted depth"), "depth"),
            (draw_stripes(depth, title="stripes"), "rows that stand out"),
        ]
        if sample.lidar_map is not None:
            errors = draw_errors(depth, sample.lidar_map, title="error on the LiDAR's pixels")
            pictures.append((errors, "errors on the LiDAR sweep"))
        if sample.true_depth is not None:
            errors = draw_errors(depth, sample.true_depth, title="error everywhere; the sky is grey")
            pictures.append((errors, "errors against dense truth"))
        rows.append(
            report.row(
                *(report.photo(picture, caption=f"{sample.frame_id}: {name}") for picture, name in pictures)
            )
        )
    return Chapter("Pictures", report.note(STRIPES) + "".join(rows))


@torch.no_grad()
def predict_sample(network: SparseBeatsDense, sample: DepthSample, *, seed: int = 0) -> np.ndarray:
    """Return the depth [h, w] of one sample in metres, with the model where and as it is."""
    device = next(network.parameters()).device
    batch = collate_depth([sample], max_points=network.config.max_points, seed=seed).to(device)
    depth = network.predict(batch.image, batch.radar, batch.points, batch.counts)
    return depth[0, 0].float().cpu().numpy()


def chapters(task: DepthTask) -> list[Chapter]:
    """Return pictures of some frames that `test` evaluates."""
    data, network = task.data, task.network.eval()
    frames = data.evaluation_frames(data.test_split)
    samples = [frames[Draw(0, index)] for index in spread(len(frames), SHOWN_FRAMES)]
    return [
        picture_chapter([(sample, predict_sample(network, sample, seed=data.seed)) for sample in samples])
    ]
