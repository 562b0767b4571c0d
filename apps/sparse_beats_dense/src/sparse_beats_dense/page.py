"""What a run's report shows: errors, baselines, curves, depth maps, error maps, stripe maps."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from datasets3d.depth import DepthSample
from evaluators.depth import DepthResult
from fusion3d_appkit import report
from fusion3d_appkit.curves import loss_section
from fusion3d_appkit.report import Section, spread
from fusion3d_appkit.sampling import Draw
from fusion_models.sparse_beats_dense.batch import collate_depth
from fusion_models.sparse_beats_dense.model import SparseBeatsDense

from sparse_beats_dense.data import DepthData
from sparse_beats_dense.evaluation import DepthScores
from sparse_beats_dense.pictures import draw_depth, draw_errors, draw_radar, draw_stripes
from sparse_beats_dense.task import DepthTask

SHOWN_FRAMES = 6
AVERAGES = {"image": "by image, as published", "pixel": "over all pixels"}


def error_section(scores: DepthScores, others: Mapping[str, DepthResult]) -> Section:
    """Return the tables at 50, 70 and 80 m, each with both ways of averaging.

    Args:
        others: Results on the same LiDAR pixels to stand beside, by name.
    """
    results = {"this model": scores.lidar, **others}
    parts = [
        report.note("On the pixels of the single LiDAR sweep, millimetres:"),
        report.table(*_errors(results)),
    ]
    if scores.truth is not None:
        parts += [
            report.note("Against the depth of every pixel, which a synthetic world knows, millimetres:"),
            report.table(*_errors({"this model": scores.truth})),
        ]
    parts += [report.note(text) for text in scores.lidar.notes()]
    return Section("Errors", "".join(parts))


def _errors(results: Mapping[str, DepthResult]) -> tuple[list[str], list[list[str | float]]]:
    caps = next(iter(results.values())).caps_m
    header = ["", "average"]
    header += [f"{name} 0-{cap:g} m" for cap in caps for name in ("MAE", "RMSE")]
    rows: list[list[str | float]] = []
    for name, result in results.items():
        for aggregate, meaning in AVERAGES.items():
            values = [
                1000 * result.value(metric, cap_m=cap, aggregate=aggregate)  # type: ignore[arg-type]
                for cap in caps
                for metric in ("mae_m", "rmse_m")
            ]
            rows.append([name, meaning, *["none" if np.isnan(value) else value for value in values]])
    return header, rows


def stripe_section(result: DepthResult) -> Section:
    """Return both measures of the stripes, in words for those who see them first."""
    text = (
        "A LiDAR hits nearly the same rows of the picture in every frame. A network trained on single sweeps "
        "can learn those rows instead of the scene; its depth then differs between beams and the gaps "
        "between them, which errors measured on the beams do not see. Ripple: how far whole rows stand out "
        "from the rows around them; contrast: how far the beams stand out from the gaps. Percent of depth; 0 "
        "is none."
    )
    rows: list[list[str | float]] = [
        ["row ripple", _percent(result.row_ripple)],
        ["beam contrast", _percent(result.beam_contrast)],
    ]
    return Section("Stripes", report.note(text) + report.table(["measure", "percent"], rows))


def _percent(share: float) -> float | str:
    return "cannot be told" if np.isnan(share) else 100 * share


def range_section(result: DepthResult) -> Section:
    """Return the errors by true depth, whatever the caps."""
    rows: list[list[str | float]] = [
        [f"{item.from_m:g} to {item.to_m:g} m", f"{item.n_pixels}", item.mae_m, item.rmse_m, item.bias_m]
        for item in result.ranges
        if item.n_pixels
    ]
    header = ["true depth", "pixels", "MAE m", "RMSE m", "mean error m"]
    return Section("Errors by depth", report.table(header, rows))


def picture_section(shown: Sequence[tuple[DepthSample, np.ndarray]]) -> Section:
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
    return Section("Pictures", "".join(rows))


@torch.no_grad()
def predict_sample(network: SparseBeatsDense, sample: DepthSample, *, seed: int = 0) -> np.ndarray:
    """Return the depth [h, w] of one sample in metres, with the model where and as it is."""
    device = next(network.parameters()).device
    batch = collate_depth([sample], max_points=network.config.max_points, seed=seed).to(device)
    depth = network.predict(batch.image, batch.radar, batch.points, batch.counts)
    return depth[0, 0].float().cpu().numpy()


def write_run_report(
    run_dir: Path,
    data: DepthData,
    task: DepthTask,
    *,
    split: str,
    title: str,
    others: Mapping[str, DepthResult] | None = None,
) -> None:
    """Write `metrics.json` and then `report.html` of the evaluation that `task` did last, of a split."""
    scores, others = task.scores, others or {}
    assert scores is not None, "an evaluation comes first"
    content = scores.to_json() | {"baselines": {name: result.to_json() for name, result in others.items()}}
    report.write_text(run_dir / "metrics.json", json.dumps(content, allow_nan=False) + "\n")
    frames = data.evaluation_frames(split)
    network = task.network.eval()
    samples = [frames[Draw(0, index)] for index in spread(len(frames), SHOWN_FRAMES)]
    shown = [(sample, predict_sample(network, sample, seed=data.seed)) for sample in samples]
    sections = [
        error_section(scores, others),
        stripe_section(scores.lidar),
        range_section(scores.lidar),
        loss_section(run_dir / "metrics.jsonl"),
        picture_section(shown),
    ]
    subtitle = f"{len(scores.lidar.frames)} frames of {split}, below {data.root}."
    report.write_report(run_dir / "report.html", title=title, subtitle=subtitle, sections=sections)
