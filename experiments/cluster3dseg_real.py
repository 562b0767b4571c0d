"""One real SemanticKITTI scan: can SPVCNN learn it at all? And how it looks.

    FUSION3D_REAL_DATA=data/real python experiments/cluster3dseg_real.py --work runs/real_scan

trains SPVCNN at half width from scratch on the one scan, voxels of 5 cm, and writes `scan.png` (labels,
predictions, errors) under `--work`, and the figures to `experiments/results/cluster3dseg_real.json`.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from cluster3dseg.evaluation import make_evaluator
from cluster3dseg.pictures import around, class_legend, error_colours, from_above
from datasets3d.segmentation import IGNORED, SamplingConfig, make_sample
from datasets3d.semantickitti import SemanticKittiDataset
from fusion3d_appkit.draw import below, beside, titled
from fusion3d_appkit.optim import SgdCosineConfig
from fusion3d_appkit.record import write_record
from fusion_models.segmentation import (
    LossWeights,
    SegmentationBatch,
    SegmentationNet,
    collate_segmentation,
    segmentation_loss,
    spvcnn,
)
from tqdm import tqdm

RESULTS = Path(__file__).parent / "results" / "cluster3dseg_real.json"


def train(batch: SegmentationBatch, *, steps: int) -> tuple[SegmentationNet, list[float]]:
    """Return the network after `steps` on this one scan, and the losses."""
    torch.manual_seed(0)
    network = SegmentationNet(spvcnn(0.5)).train()
    optimizer, schedule = SgdCosineConfig(lr=0.1).build(network.parameters(), steps=steps)
    losses = []
    for _ in (bar := tqdm(range(steps), desc="one real scan")):
        weights = LossWeights(cluster=0.0)
        total = segmentation_loss(network(batch).logits, batch.classes, weights=weights).total
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        schedule.step()
        losses.append(total.item())
        bar.set_postfix(loss=f"{losses[-1]:.2f}")
    return network.eval(), losses


def main(arguments: Sequence[str] | None = None) -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--work", type=Path, default=Path("runs/real_scan"), help="folder of the picture")
    options.add_argument("--steps", type=int, default=80)
    options.add_argument("--record", type=Path, default=RESULTS)
    chosen = options.parse_args(arguments)
    if "FUSION3D_REAL_DATA" not in os.environ:
        options.error("set FUSION3D_REAL_DATA to the folder that holds semantickitti/sequences")
    scans = SemanticKittiDataset(Path(os.environ["FUSION3D_REAL_DATA"]) / "semantickitti", "val")
    scan, truth = scans[0], scans.raw_labels(scans.frame_ids[0])
    assert scan.classes is not None and truth is not None
    sample = make_sample(scan, SamplingConfig(max_voxels=None))
    batch = collate_segmentation([sample])
    started = time.perf_counter()
    network, losses = train(batch, steps=chosen.steps)
    seconds = time.perf_counter() - started
    found = network.predict(batch)[0].classes.to(torch.uint8).numpy()
    evaluator = make_evaluator(scans.table)
    evaluator.update(scan.frame_id, truth, scans.table.raw_ids(found), scan.points)
    result = evaluator.compute(protocol="mmdet3d")
    known = scan.classes != IGNORED
    chosen.work.mkdir(parents=True, exist_ok=True)
    kinds = {
        "labels": scans.table.colours(scan.classes),
        "after the training": scans.table.colours(found),
        "wrong in red": error_colours(found, scan.classes),
    }
    rows = [
        beside(titled(from_above(scan.points, colours), name), titled(around(scan.points, colours), name))
        for name, colours in kinds.items()
    ]
    below(*rows, class_legend(scans.table, scan.classes)).save(chosen.work / "scan.png")
    text = write_record(
        chosen.record,
        {
            "steps": chosen.steps,
            "seconds_per_step": round(seconds / chosen.steps, 2),
            "points": len(scan),
            "voxels": len(sample),
            "loss_first_last": [round(losses[0], 3), round(float(np.mean(losses[-5:])), 3)],
            "right_share_of_points": round(float((found == scan.classes)[known].mean()), 4),
            "miou_of_classes_present": round(result.scores.miou, 4),
        },
        packages=("torch", "numpy"),
    )
    print(text)
    print(f"picture: {chosen.work / 'scan.png'}")


if __name__ == "__main__":
    main()
