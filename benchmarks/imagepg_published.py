"""Time, memory and profile of the published ImagePG on one real KITTI frame, on the CPU.

    FUSION3D_REAL_DATA=... python benchmarks/imagepg_published.py

writes `benchmarks/results/imagepg_published.json`. Inference: six stages, 100 proposals, the image at full
size. Training: one step (forward, losses, backward, Adam) at batch 1, with and without recomputation of the
second stage. Each figure comes from a process of its own; memory is the peak of the process. Weights are
random: they decide how many proposals overlap, but not how much is computed for each.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from datasets3d.frame import Frame
from datasets3d.kitti import KittiDataset
from fusion3d_appkit.record import write_record
from fusion_models.detection.batch import Batch, ImageInput, collate
from fusion_models.imagepg import Detector, DetectorConfig
from geom3d import boxes
from torch import nn

RESULTS = Path(__file__).parent / "results" / "imagepg_published.json"
FRAME = "000004"
REPEATS = 3


def read(root: Path) -> Frame:
    """Return the frame, its objects' own points as their dense points."""
    source = KittiDataset(root, "trainval")
    frame = source[source.frame_ids.index(FRAME)]
    assert frame.objects is not None
    inside = boxes.contains(
        frame.points[:, :3].astype(np.float64), frame.objects.boxes_lidar.astype(np.float64)
    )
    point, owner = np.nonzero(inside)
    dense = np.column_stack([frame.points[point, :3], owner]).astype(np.float32)
    return replace(frame, dense_points=dense)


class Stopwatch:
    """Adds up the seconds spent in modules; a module inside another is told apart by its name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._begun: dict[str, float] = {}

    def watch(self, name: str, module: nn.Module) -> None:
        """Time every call of the module under this name."""
        module.register_forward_pre_hook(lambda *_: self._begun.__setitem__(name, time.perf_counter()))
        module.register_forward_hook(lambda *_: self._stop(name))

    def _stop(self, name: str) -> None:
        self.seconds[name] += time.perf_counter() - self._begun[name]


def profiled(model: Detector) -> Stopwatch:
    """Return a stopwatch on the parts of the model."""
    watch = Stopwatch()
    assert model.roi is not None and model.occupancy is not None and model.guidance is not None
    parts: dict[str, nn.Module | None] = {
        "3D backbone, six copies": model.backbone,
        "image backbone and neck": model.image,
        "occupancy network": model.occupancy,
        "guidance fusion": model.guidance,
        "BEV backbone": model.bev,
        "anchor head": model.anchors,
        "second stage, six times": model.roi,
        "- image guidance": model.roi.image,
        "- transformer": model.roi.transformer,
        "- generator": model.roi.generator,
        "- pooled grid to feature": model.roi.shared,
    }
    for i, pool in enumerate(model.roi.pools):
        parts[f"- voxel pooling, x_conv{i + 2}"] = pool
    for i, level in enumerate(model.roi.abstractions):
        parts[f"- PointNet++ level {i + 1}"] = level
    for name, module in parts.items():
        if module is not None:
            watch.watch(name, module)
    return watch


def inference(batch: Batch) -> dict:
    """Return seconds per frame and the profile of the fastest of some calls."""
    model = Detector(DetectorConfig()).eval()
    watch = profiled(model)
    best: dict = {}
    model.predict(batch)  # compiles the kernels
    for _ in range(REPEATS):
        watch.seconds.clear()
        started = time.perf_counter()
        model.predict(batch)
        seconds = time.perf_counter() - started
        if not best or seconds < best["seconds"]:
            best = {"seconds": seconds, "profile_s": {k: round(v, 3) for k, v in watch.seconds.items()}}
    outer = sum(v for k, v in best["profile_s"].items() if not k.startswith("-"))
    best["profile_s"]["voxels, merging, proposals, voting"] = round(best["seconds"] - outer, 3)
    return {**best, "seconds": round(best["seconds"], 2)}


def training(batch: Batch, *, recompute: bool) -> dict:
    """Return seconds of the second of two steps."""
    config = DetectorConfig()
    assert config.roi is not None
    model = Detector(replace(config, roi=replace(config.roi, recompute=recompute))).train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
    seconds = 0.0
    for _ in range(2):
        started = time.perf_counter()
        loss = model.loss(model(batch), batch).total
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seconds = time.perf_counter() - started
    return {"seconds": round(seconds, 2), "loss": round(loss.item(), 3)}


TASKS: dict[str, Callable[[Batch], dict]] = {
    "inference": inference,
    "training_step": lambda batch: training(batch, recompute=False),
    "training_step_recompute": lambda batch: training(batch, recompute=True),
}


def measure(task: str, root: Path, out: Path) -> None:
    """Run one task in this process and write its figures."""
    torch.manual_seed(0)
    config = DetectorConfig()
    batch = collate([read(root)], config.class_names, image=ImageInput())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    figures = TASKS[task](batch)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    figures |= {"peak_mib": peak // 1024, "of_which_before_the_model_mib": before // 1024}
    figures |= {"points": len(batch.points), "threads": torch.get_num_threads()}
    out.write_text(json.dumps(figures), encoding="utf-8")


def main() -> None:
    """Measure every task in a process of its own and write the record."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument(
        "--root", type=Path, default=Path(os.environ.get("FUSION3D_REAL_DATA", ".")) / "kitti"
    )
    options.add_argument("--task", choices=tuple(TASKS), help="measure this one here and print it")
    options.add_argument("--out", type=Path, default=RESULTS)
    chosen = options.parse_args()
    if chosen.task is not None:
        measure(chosen.task, chosen.root, chosen.out)
        return
    report = {}
    for task in TASKS:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "figures.json"
            words = ["--root", str(chosen.root), "--task", task, "--out", str(file)]
            subprocess.run([sys.executable, __file__, *words], check=True)
            report[task] = json.loads(file.read_text(encoding="utf-8"))
    print(write_record(chosen.out, {"frame": FRAME, **report}, packages=("torch", "numpy", "numba")))


if __name__ == "__main__":
    main()
