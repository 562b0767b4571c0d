"""`sparse_beats_dense demo`: from nothing to a report of a model that learned, in minutes on two cores."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fusion3d_appkit.commands import config_file

if TYPE_CHECKING:
    from evaluators.depth import DepthResult

    from sparse_beats_dense.data import DepthData
    from sparse_beats_dense.evaluation import DepthScores

SCENES = 32
KEY_FRAMES = 8
SIZE_WH = (448, 252)
SEED = 0
CONSTANT, RADAR = "best constant depth", "nearest radar column"


def parser() -> argparse.ArgumentParser:
    """Return the options of the command."""
    options = argparse.ArgumentParser(
        prog="sparse_beats_dense demo",
        description="Make a small synthetic nuScenes tree, train on it, evaluate on held-out scenes by the "
        "official protocol beside two baselines, and write report.html. A second call reuses the data.",
    )
    options.add_argument(
        "--out", type=Path, default=Path("runs/sparse_beats_dense_demo"), help="folder of the run"
    )
    options.add_argument(
        "--data", type=Path, default=Path("data/sparse_beats_dense_demo"), help="folder of the synthetic data"
    )
    options.add_argument("--scenes", type=int, default=SCENES, help=f"scenes to make (default {SCENES})")
    return options


def main(arguments: Sequence[str]) -> int:
    """Run the command; return the exit status."""
    chosen = parser().parse_args(arguments)
    started = time.perf_counter()
    make_data(chosen.data, scenes=chosen.scenes)
    made = time.perf_counter()

    from sparse_beats_dense.page import write_run_report
    from sparse_beats_dense.train import build

    words = [
        f"--config={config_file(__file__, 'demo')}",
        f"--data.root={chosen.data}",
        f"--trainer.default_root_dir={chosen.out}",
    ]
    cli = build(words, subcommand=False)
    (chosen.out / "metrics.jsonl").unlink(missing_ok=True)
    cli.trainer.fit(cli.model, cli.datamodule)
    trained = time.perf_counter()
    cli.trainer.test(cli.model, cli.datamodule, verbose=False)
    scores, others = cli.model.scores, baselines(cli.datamodule)
    write_run_report(
        chosen.out,
        cli.datamodule,
        cli.model,
        split=cli.datamodule.test_split,
        title="Sparse Beats Dense demo",
        others=others,
    )
    ended = time.perf_counter()
    sys.stdout.write(
        f"\n{result_table(scores, others)}\n"
        f"data {made - started:.0f} s, training {trained - made:.0f} s, "
        f"evaluation and report {ended - trained:.0f} s\n"
        f"report: {chosen.out / 'report.html'}\n"
    )
    return 0


def make_data(root: Path, *, scenes: int) -> None:
    """Write the synthetic data set unless it is there already."""
    from datasets3d.synth import CameraConfig, NuscenesSynthConfig, write_nuscenes

    if root.is_dir():
        sys.stdout.write(f"using the data in {root}\n")
        return
    config = NuscenesSynthConfig(
        camera=CameraConfig(width=SIZE_WH[0], height=SIZE_WH[1]),
        cameras=("CAM_FRONT",),
        key_frames=KEY_FRAMES,
        lidar_sweeps=0,
        radar_sweeps=0,
    )
    write_nuscenes(root, scenes=scenes, seed=SEED, config=config)


def baselines(data: DepthData) -> dict[str, DepthResult]:
    """Return what no network is needed for, on the frames that `test` evaluates.

    The constant is the best one for the training frames, which is what a network could learn as well.
    """
    import numpy as np
    from datasets3d.depth import read_evaluation_sample
    from fusion3d_appkit.sampling import Draw

    from sparse_beats_dense.baselines import best_constant, nearest_radar
    from sparse_beats_dense.evaluation import score_maps

    training = (
        read_evaluation_sample(record, data.root, data.reading).lidar_map
        for record in data.records(data.splits.train)
    )
    constant = best_constant(depths for depths in training if depths is not None)
    frames = data.evaluation_frames(data.test_split)
    truth, flat, radar = {}, {}, {}
    for index in range(len(frames)):
        sample = frames[Draw(0, index)]
        assert sample.lidar_map is not None, "an evaluation sample has a ground truth"
        truth[sample.frame_id] = sample.lidar_map
        flat[sample.frame_id] = np.full_like(sample.lidar_map, constant)
        radar[sample.frame_id] = nearest_radar(sample.radar_map, otherwise_m=constant)
    return {CONSTANT: score_maps(truth, flat), RADAR: score_maps(truth, radar)}


def result_table(scores: DepthScores, others: Mapping[str, DepthResult]) -> str:
    """Return MAE and RMSE of the model and the baselines as lines of text, and the gain over the better."""
    results = {"this model": scores.lidar, **others}
    caps = scores.lidar.caps_m
    width = max(map(len, results)) + 2
    lines = [
        "MAE / RMSE in mm on the LiDAR pixels of held-out scenes, averaged by image as published",
        " " * width + "".join(f"{f'0-{cap:g} m':>18}" for cap in caps),
    ]
    for name, result in results.items():
        cells = [
            f"{1000 * result.value('mae_m', cap_m=cap):.0f} / {1000 * result.value('rmse_m', cap_m=cap):.0f}"
            for cap in caps
        ]
        lines.append(f"{name:<{width}}" + "".join(f"{cell:>18}" for cell in cells))
    best = min(result.value("mae_m", cap_m=80) for result in others.values())
    gain = 1 - scores.lidar.value("mae_m", cap_m=80) / best
    lines.append(f"MAE at 0-80 m: {gain:.0%} below the better baseline")
    return "\n".join(lines)
