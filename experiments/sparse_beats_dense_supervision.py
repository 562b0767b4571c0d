"""What supervision leaves in a prediction: single sweeps against dense maps, with and without disruption.

    python experiments/sparse_beats_dense_supervision.py --work runs/supervision

makes synthetic streets as a nuScenes tree, trains one small Sparse Beats Dense per variant and seed, and
writes `experiments/results/sparse_beats_dense_supervision.json`. A finished run leaves a file in `--work` and
is not repeated, so an interrupted call is simply made again; calls with different `--seeds` may run side by
side on the same data.

What is the same: frames, model, batches, steps, optimiser, colours and blur, the radar's columns. What
differs is the depth target and whether zoom, crop and mirroring (the paper's intrinsics disruption) are on:

    sparse        the key frame's own sweep, with disruption: what the paper proposes
    sparse_still  the same sweep without disruption: where the beams' rows can be learnt
    dense_still   sweeps of the key frames around put together, what moves taken out, without disruption: the
                  field's habit
    dense         the same with disruption

Errors are measured on the pixels of the held-out sweep (the official protocol) and against the depth of
every pixel, which the synthetic world knows. Stripes are measured in the prediction alone, and in the true
depth for comparison: what the scenes have of themselves.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets3d.depth import (
    Accumulation,
    DepthAugmentation,
    DepthReading,
    read_evaluation_sample,
    read_moving_objects,
    read_training_sample,
    write_dense_supervision,
)
from datasets3d.nuscenes import SampleRecord, build_records
from datasets3d.synth import CameraConfig, NuscenesSynthConfig, write_nuscenes
from evaluators.depth import DepthResult, row_ripple
from fusion3d_appkit.optim import CosineConfig
from fusion3d_appkit.record import write_record
from fusion3d_appkit.sampling import Draw
from fusion_models.sparse_beats_dense.batch import DepthBatch, collate_depth
from fusion_models.sparse_beats_dense.losses import depth_completion_loss
from fusion_models.sparse_beats_dense.model import SparseBeatsDense, SparseBeatsDenseConfig
from sparse_beats_dense.data import DepthFrames
from sparse_beats_dense.evaluation import compute, headline, make_evaluators, update
from tqdm import tqdm

RESULTS = Path(__file__).parent / "results" / "sparse_beats_dense_supervision.json"
VERSION = "v1.0-trainval"
FIGURES = ("mae_80_m", "rmse_80_m", "true_mae_80_m", "row_ripple", "beam_contrast")


@dataclass(frozen=True)
class Setting:
    """What all runs share."""

    scenes: int = 20
    """A quarter of them is held out."""
    key_frames: int = 12
    batch_size: int = 4
    steps: int = 500
    lr: float = 4e-3
    data_seed: int = 7
    width: int = 448
    height: int = 252


@dataclass(frozen=True)
class Variant:
    """What differs."""

    dense: bool
    disruption: bool


VARIANTS = {
    "sparse": Variant(dense=False, disruption=True),
    "sparse_still": Variant(dense=False, disruption=False),
    "dense_still": Variant(dense=True, disruption=False),
    "dense": Variant(dense=True, disruption=True),
}
NETWORK = SparseBeatsDenseConfig(base_width=8)
SPARSE = DepthReading(query_radius_px=1.4, true_depth_folder="depth")
DENSE_FOLDER = "dense_supervision"


def make_data(root: Path, setting: Setting) -> None:
    """Write the streets and the dense targets, unless they are there."""
    if not root.is_dir():
        config = NuscenesSynthConfig(
            camera=CameraConfig(width=setting.width, height=setting.height),
            cameras=("CAM_FRONT",),
            key_frames=setting.key_frames,
            lidar_sweeps=0,
            radar_sweeps=0,
        )
        write_nuscenes(root, scenes=setting.scenes, seed=setting.data_seed, config=config)
    records = records_of(root, "train")
    moving = read_moving_objects(root, VERSION, records)
    # The pictures are 0.28 of nuScenes' size, and so are the radii.
    config = Accumulation(query_radius_px=1.0)
    write_dense_supervision(records, root, DENSE_FOLDER, config, moving_boxes=moving)


def records_of(root: Path, split: str) -> list[SampleRecord]:
    """Return the key frames of `train` or `val`."""
    return build_records(root, version=VERSION, split=split, sweeps={})


def batches(frames: DepthFrames, setting: Setting, seed: int) -> Iterator[DepthBatch]:
    """Yield `setting.steps` batches in an order that depends on the seed alone."""
    rng = np.random.default_rng(seed)
    epochs = setting.steps * setting.batch_size // len(frames) + 1
    order = np.concatenate([rng.permutation(len(frames)) for _ in range(epochs)])
    for step in range(setting.steps):
        places = range(step * setting.batch_size, (step + 1) * setting.batch_size)
        drawn = [frames[Draw(place // len(frames), int(order[place]))] for place in places]
        yield collate_depth(drawn, max_points=NETWORK.max_points, seed=seed)


def train(variant: Variant, root: Path, setting: Setting, *, seed: int, label: str) -> SparseBeatsDense:
    """Return the trained model."""
    torch.manual_seed(seed)
    model = SparseBeatsDense(NETWORK).train()
    augmentation = DepthAugmentation()
    if not variant.disruption:
        augmentation = replace(augmentation, disruption=None)
    reading = replace(SPARSE, supervision_folder=DENSE_FOLDER) if variant.dense else SPARSE
    frames = DepthFrames(
        records_of(root, "train"),
        root,
        reading,
        read=read_training_sample,
        augmentation=augmentation,
        seed=seed,
    )
    config = CosineConfig(lr=setting.lr, final_lr=setting.lr / 40, weight_decay=4e-8)
    optimizer, schedule = config.build(model.parameters(), steps=setting.steps)
    bar = tqdm(batches(frames, setting, seed), total=setting.steps, desc=label)
    for batch in bar:
        total = depth_completion_loss(model(batch), batch, reduction="mean").total
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        schedule.step()
        bar.set_postfix(loss=f"{total.item():.2f}")
    return model.eval()


def assess(model: SparseBeatsDense, root: Path, label: str) -> dict[str, DepthResult]:
    """Return the results on the held-out scenes."""
    frames = DepthFrames(records_of(root, "val"), root, SPARSE, read=read_evaluation_sample)
    evaluators = make_evaluators()
    for index in tqdm(range(len(frames)), desc=f"{label}, evaluation"):
        batch = collate_depth([frames[Draw(0, index)]], max_points=NETWORK.max_points)
        update(evaluators, batch, model.predict(batch.image, batch.radar, batch.points, batch.counts))
    return compute(evaluators)


def run(name: str, seed: int, work: Path, setting: Setting) -> None:
    """Train and evaluate one variant with one seed, unless its file is there."""
    target = work / f"{name}_{seed}.json"
    if target.is_file():
        return
    label, started = f"{name}, seed {seed}", time.process_time()
    model = train(VARIANTS[name], work / "data", setting, seed=seed, label=label)
    trained = time.process_time()
    torch.save(model.state_dict(), target.with_suffix(".pt"))
    results = assess(model, work / "data", label)
    content = {
        "variant": name,
        "seed": seed,
        "setting": asdict(setting),
        "parameters": sum(p.numel() for p in model.parameters()),
        "training_cpu_s": round(trained - started),
        "figures": headline(results),
        "ranges": results["lidar"].to_json()["ranges"],
    }
    partial = target.with_suffix(".partial")
    partial.write_text(json.dumps(content, indent=1), encoding="utf-8")
    partial.replace(target)


def true_ripple(root: Path) -> float:
    """Return the row ripple that the true depth of the held-out scenes has of itself."""
    records = records_of(root, "val")
    samples = [read_evaluation_sample(record, root, SPARSE) for record in records]
    ripples = [row_ripple(sample.true_depth) for sample in samples if sample.true_depth is not None]
    return float(np.nanmean(ripples))


def collect(work: Path) -> dict[str, Any]:
    """Return all finished runs, and mean, least and greatest of every figure of every variant."""
    runs = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(work.glob("*_[0-9]*.json"))]
    table: dict[str, Any] = {}
    for name in VARIANTS:
        mine = [r["figures"] for r in runs if r["variant"] == name]
        table[name] = {figure: _spread([found[figure] for found in mine]) for figure in FIGURES if mine}
    return {"table": table, "row_ripple_of_true_depth": true_ripple(work / "data"), "runs": runs}


def _spread(values: list[float]) -> dict[str, float]:
    return {
        "mean": round(float(np.mean(values)), 5),
        "least": round(min(values), 5),
        "most": round(max(values), 5),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing, then write the record."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--work", type=Path, default=Path("runs/supervision"), help="data, runs, results")
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    options.add_argument("--variants", nargs="+", choices=tuple(VARIANTS), default=list(VARIANTS))
    options.add_argument("--steps", type=int, default=Setting.steps, help="fewer for a trial")
    options.add_argument("--scenes", type=int, default=Setting.scenes, help="a quarter of them is held out")
    options.add_argument("--record", type=Path, default=RESULTS)
    chosen = options.parse_args(arguments)
    setting = Setting(scenes=chosen.scenes, steps=chosen.steps)
    make_data(chosen.work / "data", setting)
    for seed in chosen.seeds:
        for name in chosen.variants:
            run(name, seed, chosen.work, setting)
    print(write_record(chosen.record, collect(chosen.work), packages=("torch", "numpy")))


if __name__ == "__main__":
    main()
