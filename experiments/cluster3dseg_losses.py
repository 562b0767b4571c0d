"""What each loss is worth: the ablation that the paper of Cluster3DSeg lacks, on synthetic streets.

    python experiments/cluster3dseg_losses.py --work runs/cluster3dseg_losses

makes synthetic drives as a SemanticKITTI tree, trains one small SPVCNN per variant and seed,
and writes `experiments/results/cluster3dseg_losses.json`. A finished run leaves a file in `--work` and is not
repeated, so an interrupted call is simply made again; calls with different `--seeds` may run side by side on
the same data.

What is the same: scans, network, first weights, order of the scans, augmentation, steps, optimiser. What
differs is the loss, and for the last two whether scans are mixed:

    ce                 cross-entropy: the published baseline
    ce_lovasz          and Lovasz-softmax
    ce_official        cross-entropy and the clustering loss as released
    ce_corrected       cross-entropy and the clustering loss without the released code's slips
    all                cross-entropy, Lovasz and the corrected clustering loss
    ce_mixed           cross-entropy, with LaserMix and PolarMix
    all_mixed          everything

Scores are the official ones on held-out drives: mean IoU over the classes that occur. For the clustering loss
the share of anchors that share their cluster with another anchor of the batch is recorded, too: only these
have anything to learn from within the batch.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cluster3dseg.data import SegmentationFrames
from cluster3dseg.evaluation import make_evaluator
from datasets3d.segmentation import MixConfig, PolarMixConfig, SamplingConfig, SegmentationAugmentation
from datasets3d.semantickitti import SemanticKittiDataset
from datasets3d.synth import LidarConfig, SemanticKittiSynthConfig, write_semantickitti
from evaluators.semantickitti import SemanticKittiResult
from fusion3d_appkit.optim import SgdCosineConfig
from fusion3d_appkit.record import write_record
from fusion3d_appkit.sampling import Draw
from fusion_models.segmentation import (
    LossWeights,
    SegmentationBatch,
    SegmentationNet,
    SegmentationNetConfig,
    WithinClassClusterLoss,
    collate_segmentation,
    segmentation_loss,
    spvcnn,
)
from fusion_models.segmentation.cluster_loss import ClusterConfig
from tqdm import tqdm

RESULTS = Path(__file__).parent / "results" / "cluster3dseg_losses.json"
THINGS = (0, 1, 2, 3, 4, 5, 6, 7)
CHANNELS = 64


@dataclass(frozen=True)
class Setting:
    """What all runs share."""

    sequences: int = 11
    scans: int = 6
    held_out: tuple[str, ...] = ("08", "09", "10")
    azimuth_step_deg: float = 0.5
    voxel_m: float = 0.2
    batch_size: int = 4
    steps: int = 150
    lr: float = 0.06
    data_seed: int = 11
    width: float = 0.25


@dataclass(frozen=True)
class Variant:
    """What differs."""

    lovasz: bool = False
    cluster: ClusterConfig | None = None
    mixing: bool = False


CORRECTED = ClusterConfig()
VARIANTS = {
    "ce": Variant(),
    "ce_lovasz": Variant(lovasz=True),
    "ce_official": Variant(cluster=ClusterConfig(compat="official", fewer_clusters={7: 10, 8: 10})),
    "ce_corrected": Variant(cluster=CORRECTED),
    "all": Variant(lovasz=True, cluster=CORRECTED),
    "ce_mixed": Variant(mixing=True),
    "all_mixed": Variant(lovasz=True, cluster=CORRECTED, mixing=True),
}


def make_data(root: Path, setting: Setting) -> None:
    """Write the drives, unless they are there."""
    if not root.is_dir():
        config = SemanticKittiSynthConfig(lidar=LidarConfig(azimuth_step_deg=setting.azimuth_step_deg))
        numbers = {"sequences": setting.sequences, "scans_per_sequence": setting.scans}
        write_semantickitti(root, **numbers, seed=setting.data_seed, config=config)


def scans_of(root: Path, setting: Setting, *, held_out: bool) -> SemanticKittiDataset:
    """Return the drives to train on, or those held out."""
    names = sorted(path.name for path in (root / "sequences").iterdir())
    return SemanticKittiDataset(root, [name for name in names if (name in setting.held_out) == held_out])


def batches(frames: SegmentationFrames, setting: Setting, seed: int) -> Iterator[SegmentationBatch]:
    """Yield `setting.steps` batches in an order that depends on the seed alone."""
    rng = np.random.default_rng(seed)
    epochs = setting.steps * setting.batch_size // len(frames) + 1
    order = np.concatenate([rng.permutation(len(frames)) for _ in range(epochs)])
    for step in range(setting.steps):
        places = range(step * setting.batch_size, (step + 1) * setting.batch_size)
        yield collate_segmentation([frames[Draw(at // len(frames), int(order[at]))] for at in places])


class Counted(WithinClassClusterLoss):
    """Counts anchors, and those that share their cluster with another one of the batch."""

    shared = total = 0

    def assign(self, anchors):
        ids = super().assign(anchors)
        self.shared += int((ids.bincount()[ids] > 1).sum())
        self.total += len(ids)
        return ids


def network_config(setting: Setting) -> SegmentationNetConfig:
    """Return the network of all runs; without the clustering loss its projection trains nothing."""
    whole = spvcnn(setting.width)
    parts = {"stem": whole.stem, "downs": whole.downs, "ups": whole.ups}
    return SegmentationNetConfig(**parts, voxel_m=setting.voxel_m, projection=(CHANNELS, CHANNELS, CHANNELS))


def train(
    variant: Variant, root: Path, setting: Setting, *, seed: int, label: str
) -> tuple[SegmentationNet, float | None]:
    """Return the trained network, and the share of anchors that share a cluster."""
    torch.manual_seed(seed)
    network = SegmentationNet(network_config(setting)).train()
    cluster = None
    if variant.cluster is not None:
        cluster = Counted(
            variant.cluster, num_classes=network.config.num_classes, channels=CHANNELS, seed=seed
        )
    frames = SegmentationFrames(
        scans_of(root, setting, held_out=False),
        SamplingConfig(voxel_m=setting.voxel_m, max_voxels=None),
        augmentation=SegmentationAugmentation(),
        mixing=MixConfig(polar=PolarMixConfig(paste_classes=THINGS)) if variant.mixing else None,
        seed=seed,
    )
    weights = LossWeights(lovasz=float(variant.lovasz))
    optimizer, schedule = SgdCosineConfig(lr=setting.lr).build(network.parameters(), steps=setting.steps)
    bar = tqdm(batches(frames, setting, seed), total=setting.steps, desc=label)
    for step, batch in enumerate(bar):
        torch.manual_seed(hash((seed, step)) % 2**31)  # dropout is the same for all variants
        outputs = network(batch)
        total = segmentation_loss(
            outputs.logits, batch.classes, weights=weights, embedding=outputs.embedding, cluster=cluster
        ).total
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        schedule.step()
        bar.set_postfix(loss=f"{total.item():.2f}")
    shared = None if cluster is None or not cluster.total else cluster.shared / cluster.total
    return network.eval(), shared


def assess(network: SegmentationNet, root: Path, setting: Setting, label: str) -> SemanticKittiResult:
    """Return the scores on the held-out drives; classes that do not occur are left out of the mean."""
    scans = scans_of(root, setting, held_out=True)
    frames = SegmentationFrames(scans, SamplingConfig(voxel_m=setting.voxel_m, max_voxels=None))
    evaluator = make_evaluator(scans.table)
    for index in tqdm(range(len(frames)), desc=f"{label}, evaluation"):
        sample = frames[Draw(0, index)]
        found = network.predict(collate_segmentation([sample]))[0].classes.to(torch.uint8).numpy()
        truth = scans.raw_labels(sample.frame_id)
        assert truth is not None
        evaluator.update(sample.frame_id, truth, scans.table.raw_ids(found), scans.points(sample.frame_id))
    return evaluator.compute(protocol="mmdet3d")


def run(name: str, seed: int, work: Path, setting: Setting) -> None:
    """Train and evaluate one variant with one seed, unless its file is there."""
    target = work / f"{name}_{seed}.json"
    if target.is_file():
        return
    label, started = f"{name}, seed {seed}", time.process_time()
    network, shared = train(VARIANTS[name], work / "data", setting, seed=seed, label=label)
    trained = time.process_time()
    result = assess(network, work / "data", setting, label)
    names = result.label_map.evaluated_names
    content = {
        "variant": name,
        "seed": seed,
        "setting": asdict(setting),
        "training_cpu_s": round(trained - started),
        "miou": result.scores.miou,
        "accuracy": result.scores.accuracy,
        "iou": {cls: result.iou(cls) for cls in names},
        "anchors_that_share_a_cluster": shared,
    }
    partial = target.with_suffix(".partial")
    partial.write_text(json.dumps(content, indent=1), encoding="utf-8")
    partial.replace(target)


def collect(work: Path) -> dict[str, Any]:
    """Return all finished runs, and mean, least and greatest of every variant, also of its gain over `ce`."""
    runs = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(work.glob("*_[0-9]*.json"))]
    plain = {found["seed"]: found["miou"] for found in runs if found["variant"] == "ce"}
    table: dict[str, Any] = {}
    for name in VARIANTS:
        mine = [found for found in runs if found["variant"] == name]
        gains = [found["miou"] - plain[found["seed"]] for found in mine if found["seed"] in plain]
        if mine:
            table[name] = {
                "seeds": len(mine),
                "miou": _spread([found["miou"] for found in mine]),
                "gain_over_ce_same_seed": _spread(gains) if gains else None,
                "anchors_that_share_a_cluster": mine[0]["anchors_that_share_a_cluster"],
            }
    return {"table": table, "runs": runs}


def _spread(values: list[float]) -> dict[str, float]:
    return {
        "mean": round(float(np.mean(values)), 4),
        "least": round(min(values), 4),
        "most": round(max(values), 4),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing, then write the record."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--work", type=Path, default=Path("runs/cluster3dseg_losses"), help="data and runs")
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options.add_argument("--variants", nargs="+", choices=tuple(VARIANTS), default=list(VARIANTS))
    options.add_argument("--steps", type=int, default=Setting.steps, help="fewer for a trial")
    options.add_argument("--record", type=Path, default=RESULTS)
    chosen = options.parse_args(arguments)
    setting = Setting(steps=chosen.steps)
    chosen.work.mkdir(parents=True, exist_ok=True)
    make_data(chosen.work / "data", setting)
    for seed in chosen.seeds:
        for name in chosen.variants:
            run(name, seed, chosen.work, setting)
    print(write_record(chosen.record, collect(chosen.work), packages=("torch", "numpy")))


if __name__ == "__main__":
    main()
