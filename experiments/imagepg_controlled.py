"""ImagePG against PG-RCNN against SECOND on synthetic streets: same data, same steps, several seeds.

    python experiments/imagepg_controlled.py --work runs/controlled

makes the data, trains and evaluates every variant with every seed, and writes
`experiments/results/imagepg_controlled.json`. A finished run leaves files under `--work` and is not repeated,
so an interrupted call is simply made again; calls with different `--seeds` may run side by side on the same
data. On two cores without a GPU this takes some hours; nothing depends on the clock.

What is the same: frames, augmentation, batches, optimiser, schedule, number of steps, widths of every block
that two variants share. What differs is what the papers add: SECOND has one stage; PG-RCNN refines its
proposals with generated points; ImagePG adds the image, the occupancy network, the copies of the cloud and
its losses.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets3d.frame import Frame
from datasets3d.kitti import KittiDataset
from datasets3d.surfaces import ObjectShapes
from datasets3d.synth import CameraConfig, LabelConfig, StreetConfig, SynthConfig, write_kitti
from fusion3d_appkit.optim import OneCycleConfig
from fusion3d_appkit.record import write_record
from fusion3d_appkit.sampling import Draw
from fusion_models.detection.batch import Batch, Detections, ImageInput, collate
from fusion_models.detection.bev_backbone import BevBackboneConfig
from fusion_models.detection.cloud_copies import TEST_COPIES, TRAIN_COPIES
from fusion_models.detection.post_process import PostProcessConfig
from fusion_models.detection.proposals import ProposalConfig
from fusion_models.detection.voxel_backbone import VoxelBackboneConfig, VoxelGrid
from fusion_models.detection.voxel_pool import VoxelPoolConfig
from fusion_models.imagepg import Detector, DetectorConfig, DetectorOutputs, variants
from fusion_models.imagepg.guidance import GuidanceFusionConfig
from fusion_models.imagepg.image_config import ImageBackboneConfig, SwinConfig
from fusion_models.imagepg.occupancy import OccupancyConfig
from fusion_models.imagepg.point_generator import GeneratorConfig
from fusion_models.imagepg.pointnet2 import SetAbstractionConfig
from fusion_models.imagepg.roi_head import RoiHeadConfig
from geom3d import boxes
from imagepg.data import DetectionFrames, TrainingConfig
from imagepg.evaluation import evaluate, write_frame
from sparseops import iou_3d, points_in_boxes, roi_grid
from tqdm import tqdm

RESULTS = Path(__file__).parent / "results" / "imagepg_controlled.json"
CLASSES = ("Car", "Pedestrian", "Cyclist")
RANGE_M = 25.6
"""The world ends here: objects farther away are not labelled, so that cells may have the published 0.4 m."""
IMAGE = ImageInput(scale=0.5)


@dataclass(frozen=True)
class Setting:
    """What all runs share."""

    frames: int = 400
    batch_size: int = 2
    steps: int = 1200
    lr: float = 0.006
    data_seed: int = 5


def world() -> SynthConfig:
    """Return a crowded street seen up to 25.6 m, at half KITTI's image size."""
    return SynthConfig(
        street=StreetConfig(cars_per_frame=5.0, pedestrians_per_frame=4.0, cyclists_per_frame=3.0),
        camera=CameraConfig(width=621, height=188),
        labels=LabelConfig(max_range_m=RANGE_M),
    )


def _pools() -> tuple[VoxelPoolConfig, ...]:
    sources = (("x_conv2", 2, 0.4), ("x_conv3", 4, 0.8), ("x_conv4", 8, 1.6))
    return tuple(
        VoxelPoolConfig(source=name, stride=stride, radius_m=radius, hidden=16, channels=16, samples=8)
        for name, stride, radius in sources
    )


def _second_stage(published: RoiHeadConfig | None) -> RoiHeadConfig:
    """Return a published second stage, narrower; what its paper decides stays."""
    assert published is not None
    return replace(
        published,
        grid_size=4,
        pools=_pools(),
        generator=GeneratorConfig(hidden=96, generator_fc=(64,), feature=16, embedding=(16, 16)),
        image_channels=None if published.image_channels is None else 16,
        abstractions=(
            SetAbstractionConfig(points=16, radius_m=0.8, samples=8, channels=(32, 64)),
            SetAbstractionConfig(points=None, channels=(64, 64)),
        ),
        shared_fc=(64,) if published.shared_fc else (),
        score_fc=(64,),
        box_fc=(64,),
        targets=replace(published.targets, rois_per_frame=32),
        losses=replace(published.losses, sample_points=512),
    )


def second() -> DetectorConfig:
    """Return the one-stage detector all three share."""
    return DetectorConfig(
        voxels=VoxelGrid(size=(0.05, 0.05, 0.1), bounds=(0.0, -12.8, -3.0, RANGE_M, 12.8, 1.0)),
        backbone=VoxelBackboneConfig((16, 16, 32, 32), 32),
        bev=BevBackboneConfig(layers=(2, 2), channels=(48, 96), up_channels=(48, 48)),
        copies_train=(),
        copies_test=(),
        occupancy=None,
        image=None,
        roi=None,
        test_proposals=ProposalConfig(pre_max=1024, threshold=0.01, post_max=64),
        post=PostProcessConfig(score_threshold=0.05, class_thresholds=(0.05,) * 3),
    )


def pg_rcnn() -> DetectorConfig:
    """Return the same with PG-RCNN's second stage."""
    return replace(
        second(),
        train_proposals=ProposalConfig(pre_max=1024, post_max=128),
        test_proposals=ProposalConfig(pre_max=1024, threshold=0.7, post_max=64),
        roi=_second_stage(variants.pg_rcnn().roi),
    )


def imagepg() -> DetectorConfig:
    """Return the same with all that ImagePG adds; image and occupancy networks narrow, from scratch."""
    swin = SwinConfig(embed_dim=16, depths=(1, 1, 1, 1), heads=(2, 2, 4, 4), drop_path=0.0, frozen_stages=-1)
    backbone = BevBackboneConfig((1, 1), (2, 2), (16, 32), (1, 2), (16, 16))
    return replace(
        pg_rcnn(),
        copies_train=TRAIN_COPIES,
        copies_test=TEST_COPIES,
        occupancy=OccupancyConfig(channels=16, pillar_points=16, backbone=backbone, head_channels=16),
        guidance=GuidanceFusionConfig(hidden=64),
        image=ImageBackboneConfig(swin, neck_channels=32, channels=16),
        roi=_second_stage(variants.imagepg().roi),
    )


VARIANTS = {"second": second, "pg_rcnn": pg_rcnn, "imagepg": imagepg}


def batches(frames: DetectionFrames, setting: Setting, seed: int):
    """Yield `setting.steps` batches in an order that depends on the seed alone."""
    rng = np.random.default_rng(seed)
    order = np.concatenate(
        [rng.permutation(len(frames)) for _ in range(setting.steps * setting.batch_size // len(frames) + 1)]
    )
    image = None if frames.model.image is None else IMAGE
    for step in range(setting.steps):
        drawn = [
            frames[Draw(position // len(frames), int(order[position]))]
            for position in range(step * setting.batch_size, (step + 1) * setting.batch_size)
        ]
        yield collate(drawn, frames.model.class_names, image=image, seed=seed)


def train(config: DetectorConfig, root: Path, setting: Setting, *, seed: int, label: str) -> Detector:
    """Return the trained detector."""
    torch.manual_seed(seed)
    model = Detector(config).train()
    source = KittiDataset(root, "train")
    frames = DetectionFrames(
        source, config, seed=seed, training=TrainingConfig(min_points=5), shapes=ObjectShapes.read(root)
    )
    optimizer, schedule = OneCycleConfig(lr=setting.lr).build(model.parameters(), steps=setting.steps)
    bar = tqdm(batches(frames, setting, seed), total=setting.steps, desc=label)
    for batch in bar:
        total = model.loss(model(batch), batch).total
        optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()
        schedule.step()
        bar.set_postfix(loss=f"{total.item():.2f}")
    return model.eval()


@torch.no_grad()
def assess(model: Detector, root: Path, folder: Path, label: str) -> dict:
    """Return average precisions on the held-out frames and the quality of the generated points."""
    source = KittiDataset(root, "val")
    frames = DetectionFrames(source, model.config, seed=0)
    shapes = ObjectShapes.read(root)
    image = None if model.config.image is None else IMAGE
    folder.mkdir(parents=True, exist_ok=True)
    distances: list[dict] = []
    overlaps: list[dict] = []
    for index in tqdm(range(len(source)), desc=f"{label}, evaluation"):
        frame = frames[Draw(0, index)]
        batch = collate([frame], model.config.class_names, image=image)
        outputs = model(batch)
        found = model.detections(outputs)[0]
        write_frame(folder, frame.frame_id, found, source=source, classes=model.config.class_names)
        distances += generated_quality(outputs, batch, source[index], shapes)
        overlaps += refinement(outputs, found, frame)
    results = evaluate(source, folder)
    precision = {
        name: {c: {m: result.ap(c, m, "moderate", recall=40) for m in ("bev", "3d")} for c in CLASSES}
        for name, result in results.items()
    }
    return {
        "average_precision": precision,
        "chamfer": summarise(distances),
        "median_iou": summarise(overlaps),
    }


def generated_quality(
    outputs: DetectorOutputs, batch: Batch, frame: Frame, shapes: ObjectShapes
) -> list[dict[str, float | str]]:
    """Return how far points are from the surface, for labelled objects that a RoI of the last stage covers.

    The RoI with the best 3D IoU counts, from 0.3 on. Distances are in metres: the mean over the points to the
    surface and over the surface to the points, averaged. Beside the generated points stand the measured ones
    in the box and the RoI's grid points, which the generated ones started from.
    """
    last = outputs.stages[-1].predictions if outputs.stages else None
    if last is None or last.points is None or frame.objects is None or frame.objects.source_id is None:
        return []
    rois = last.rois[0]
    grid, _ = roi_grid(rois, grid_size=round(last.points.shape[1] ** (1 / 3)))
    rows = []
    for i, (name, source_id) in enumerate(zip(frame.objects.names, frame.objects.source_id, strict=True)):
        local = shapes.load(source_id)
        if name not in CLASSES or local is None:
            continue
        box = torch.from_numpy(frame.objects.boxes_lidar[i : i + 1])
        overlap, row = iou_3d(rois, box)[:, 0].max(dim=0)
        if overlap < 0.3:
            continue
        surface = boxes.from_canonical(torch.from_numpy(local)[None], box)[0]
        xyz = batch.points[:, 1:4]
        measured = xyz[points_in_boxes(xyz, box) >= 0]
        rows.append(
            {
                "name": name,
                "generated": _distance(last.points[row], surface),
                "measured": _distance(measured, surface),
                "grid": _distance(grid[row], surface),
            }
        )
    return rows


def refinement(outputs: DetectorOutputs, found: Detections, frame: Frame) -> list[dict[str, float | str]]:
    """Return how well labelled objects in the model's range are met: 3D IoU of the best box of each kind.

    `proposal` is the best RoI of the anchor head, `refined` the best box of the last stage before anything is
    chosen, `detected` the best that is left after suppression: what the scores have made of the boxes.
    """
    if frame.objects is None:
        return []
    candidates = {"proposal": outputs.proposals.boxes[0], "detected": found.boxes}
    if outputs.stages:
        candidates["refined"] = outputs.stages[-1].boxes[0]
    rows: list[dict[str, float | str]] = []
    for name, box in zip(frame.objects.names, torch.from_numpy(frame.objects.boxes_lidar), strict=True):
        best = {
            kind: float(iou_3d(boxes_found, box[None]).max()) if len(boxes_found) else 0.0
            for kind, boxes_found in candidates.items()
        }
        rows.append({"name": name, **best})
    return rows


def _distance(points: torch.Tensor, surface: torch.Tensor) -> float:
    if not len(points):  # an object no beam has hit: not counted in the median
        return float("nan")
    distance = torch.cdist(points, surface)
    return float(distance.amin(0).mean() + distance.amin(1).mean()) / 2


def summarise(rows: list[dict[str, float | str]]) -> dict[str, dict[str, float]]:
    """Return medians in metres per class, and how many objects they stand on."""
    summary: dict[str, dict[str, float]] = {}
    for name in CLASSES:
        chosen = [row for row in rows if row["name"] == name]
        if chosen:
            keys = [key for key in chosen[0] if key != "name"]
            medians = {key: float(np.nanmedian([row[key] for row in chosen])) for key in keys}
            summary[name] = {**medians, "objects": len(chosen)}
    return summary


def run(variant: str, seed: int, work: Path, setting: Setting) -> None:
    """Train and evaluate one variant with one seed, unless its file is there."""
    target = work / f"{variant}_{seed}.json"
    if target.is_file():
        return
    label = f"{variant}, seed {seed}"
    weights = target.with_suffix(".pt")
    if not weights.is_file():
        started = time.perf_counter()
        model = train(VARIANTS[variant](), work / "data", setting, seed=seed, label=label)
        partial = weights.with_suffix(".partial")
        torch.save({"model": model.state_dict(), "training_s": time.perf_counter() - started}, partial)
        partial.replace(weights)
    trained = torch.load(weights, weights_only=True)
    model = Detector(VARIANTS[variant]()).eval()
    model.load_state_dict(trained["model"])
    started = time.perf_counter()
    found = assess(model, work / "data", work / f"{variant}_{seed}", label)
    content = {
        "variant": variant,
        "seed": seed,
        "setting": asdict(setting),
        "parameters": sum(p.numel() for p in model.parameters()),
        "training_s": round(trained["training_s"]),
        "evaluation_s": round(time.perf_counter() - started),
        **found,
    }
    partial = target.with_suffix(".partial")
    partial.write_text(json.dumps(content, indent=1), encoding="utf-8")
    partial.replace(target)


def collect(work: Path) -> dict[str, Any]:
    """Return all finished runs and mean, least and greatest 3D AP (moderate) of every variant."""
    runs = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(work.glob("*_*.json"))]
    table: dict[str, Any] = {}
    for variant in VARIANTS:
        mine = [r["average_precision"] for r in runs if r["variant"] == variant]
        table[variant] = {
            overlap: {name: _spread([r[overlap][name]["3d"] for r in mine]) for name in CLASSES}
            for overlap in ("strict", "loose")
        }
    return {"table_3d_moderate_ap_r40": table, "runs": runs}


def _spread(values: list[float]) -> dict[str, float]:
    if not values:
        return {}
    return {
        "mean": round(float(np.mean(values)), 2),
        "least": round(min(values), 2),
        "most": round(max(values), 2),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing, then write the record."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument(
        "--work", type=Path, default=Path("runs/controlled"), help="data, runs and their results"
    )
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    options.add_argument("--variants", nargs="+", choices=tuple(VARIANTS), default=list(VARIANTS))
    options.add_argument("--steps", type=int, default=Setting.steps, help="fewer for a trial")
    options.add_argument("--frames", type=int, default=Setting.frames, help="a quarter of them is held out")
    options.add_argument("--record", type=Path, default=RESULTS)
    chosen = options.parse_args(arguments)
    setting = Setting(frames=chosen.frames, steps=chosen.steps)
    if not (chosen.work / "data" / "ImageSets").is_dir():
        write_kitti(chosen.work / "data", frames=setting.frames, seed=setting.data_seed, config=world())
    for seed in chosen.seeds:
        for variant in chosen.variants:
            run(variant, seed, chosen.work, setting)
    print(write_record(chosen.record, collect(chosen.work), packages=("torch", "numpy")))


if __name__ == "__main__":
    main()
