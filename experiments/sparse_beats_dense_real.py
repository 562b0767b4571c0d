"""One real nuScenes key frame: can the published model learn it at all? And how it looks.

    FUSION3D_REAL_DATA=data/real python experiments/sparse_beats_dense_real.py --work runs/real_depth

trains the model at its published width on one front picture, halved to 800 x 450, and its single LiDAR sweep,
and writes `depth.png` (picture with radar, sweep, depths, errors, stripes) under `--work`, and the figures to
`experiments/results/sparse_beats_dense_real.json`. About ten minutes on two cores.

The sample at hand has no radar file, so radar is *simulated from the LiDAR*: in every 1.5 degrees of azimuth
of the front radar's view the nearest point that stands over the road is a return, its height thrown away.
There are no masks of this picture either, so the mask decoders, which no depth depends on, are left out.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from datasets3d.depth import DepthReading, DepthSample, read_evaluation_sample, read_training_sample
from datasets3d.nuscenes import (
    RADAR_FIELDS,
    Pose,
    SampleRecord,
    SensorRecord,
    b_from_a,
    build_records,
    read_image,
    read_lidar,
    write_radar,
)
from evaluators.depth import beam_contrast, row_ripple
from fusion3d_appkit.optim import CosineConfig
from fusion3d_appkit.record import write_record
from fusion_models.sparse_beats_dense import (
    SparseBeatsDense,
    SparseBeatsDenseConfig,
    collate_depth,
    depth_completion_loss,
)
from geom3d import transforms
from PIL import Image
from sparse_beats_dense.pictures import draw_depth, draw_errors, draw_radar, draw_stripes
from tqdm import tqdm

RESULTS = Path(__file__).parent / "results" / "sparse_beats_dense_real.json"
RADAR = Pose(translation=(3.4, 0.0, 0.5), rotation=(1.0, 0.0, 0.0, 0.0))
"""Where the front radar sits; the car of this sample names none."""
SHRINK = 2


def halved(record: SampleRecord, root: Path, work: Path) -> SampleRecord:
    """Return the record with a smaller copy of its front picture, and a radar file made from its sweep."""
    camera, lidar = record.key("CAM_FRONT"), record.key("LIDAR_TOP")
    picture = Image.fromarray(read_image(camera.path(root))).reduce(SHRINK)
    picture.save(work / "front.png")
    assert camera.intrinsic is not None
    scaled = tuple(tuple(v / SHRINK for v in row) for row in camera.intrinsic[:2])
    eye = replace(
        camera,
        filename=str((work / "front.png").resolve()),
        intrinsic=(*scaled, camera.intrinsic[2]),
        size_wh=picture.size,
    )
    radar = replace(
        lidar, channel="RADAR_FRONT", filename=str((work / "radar.pcd").resolve()), calibration=RADAR
    )
    write_radar(work / "radar.pcd", radar_from_lidar(read_lidar(lidar.path(root)), radar, lidar))
    return replace(record, sensors={"CAM_FRONT": (eye,), "LIDAR_TOP": (lidar,), "RADAR_FRONT": (radar,)})


def radar_from_lidar(points: np.ndarray, radar: SensorRecord, lidar: SensorRecord) -> np.ndarray:
    """Return returns [n, 18]: per 1.5 degrees of azimuth the nearest point 0.2 to 2 m over the road."""
    seen = transforms.apply(b_from_a(radar, lidar), points[:, :3].astype(np.float64))
    height, azimuth_deg = seen[:, 2] + RADAR.translation[2], np.degrees(np.arctan2(seen[:, 1], seen[:, 0]))
    range_m = np.hypot(seen[:, 0], seen[:, 1])
    kept = (np.abs(azimuth_deg) < 60) & (height > 0.2) & (height < 2.0) & (range_m > 1.0)
    cells, order = np.floor(azimuth_deg / 1.5), np.argsort(range_m)
    order = order[kept[order]]
    nearest = order[np.unique(cells[order], return_index=True)[1]]
    returns = np.zeros((len(nearest), len(RADAR_FIELDS)), np.float32)
    returns[:, :2] = seen[nearest, :2]
    returns[:, RADAR_FIELDS.index("ambig_state")] = 3  # passes the official filter
    return returns


def train(sample: DepthSample, *, steps: int) -> tuple[SparseBeatsDense, list[float]]:
    """Return the model after `steps` on this one sample, and the losses."""
    torch.manual_seed(0)
    model = SparseBeatsDense(SparseBeatsDenseConfig(mask_decoder=False)).train()
    batch = collate_depth([sample])
    config = CosineConfig(lr=4e-3, final_lr=1e-3, weight_decay=4e-8)
    optimizer, schedule = config.build(model.parameters(), steps=steps)
    losses = []
    for _ in (bar := tqdm(range(steps), desc="one real key frame")):
        total = depth_completion_loss(model(batch), batch).total
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        schedule.step()
        losses.append(total.item())
        bar.set_postfix(loss=f"{losses[-1]:.2f}")
    return model.eval(), losses


def errors(depth: np.ndarray, target: np.ndarray) -> dict[str, float]:
    """Return MAE and RMSE up to 80 m, in metres, and the stripe figures."""
    known = (target > 0) & (target <= 80)
    difference = (depth - target)[known]
    return {
        "mae_m": float(np.abs(difference).mean()),
        "rmse_m": float(np.sqrt((difference**2).mean())),
        "labelled_pixels": int(known.sum()),
        "row_ripple": row_ripple(depth),
        "beam_contrast": beam_contrast(target, depth),
    }


def predict(model: SparseBeatsDense, sample: DepthSample) -> np.ndarray:
    batch = collate_depth([sample])
    return model.predict(batch.image, batch.radar, batch.points, batch.counts)[0, 0].numpy()


def draw(sample: DepthSample, target: np.ndarray, depth: np.ndarray, path: Path) -> None:
    pictures = [
        draw_radar(sample.image, sample.radar_map),
        draw_depth(target, title="the only target: one LiDAR sweep"),
        draw_depth(depth, title="depth after the training"),
        draw_errors(depth, target, title="errors on the sweep"),
        draw_stripes(depth, title="stripes"),
    ]
    canvas = Image.new("RGB", (max(p.width for p in pictures), sum(p.height for p in pictures)), "white")
    top = 0
    for picture in pictures:
        canvas.paste(picture, (0, top))
        top += picture.height
    canvas.save(path)


def main(arguments: Sequence[str] | None = None) -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument(
        "--work", type=Path, default=Path("runs/real_depth"), help="picture and scratch files"
    )
    options.add_argument("--steps", type=int, default=200)
    options.add_argument("--record", type=Path, default=RESULTS)
    chosen = options.parse_args(arguments)
    if "FUSION3D_REAL_DATA" not in os.environ:
        options.error("set FUSION3D_REAL_DATA to the folder that holds nuscenes/ (samples, v1.0-mini)")
    root = Path(os.environ["FUSION3D_REAL_DATA"]) / "nuscenes"
    chosen.work.mkdir(parents=True, exist_ok=True)
    (record,) = build_records(root, version="v1.0-mini", channels=("CAM_FRONT", "LIDAR_TOP"))
    record = halved(record, root, chosen.work)
    reading = DepthReading(mask_folder=None)
    sample = read_training_sample(record, root, reading)
    target = read_evaluation_sample(record, root, reading).lidar_map
    assert target is not None
    started = time.perf_counter()
    model, losses = train(sample, steps=chosen.steps)
    seconds = time.perf_counter() - started
    depth = predict(model, sample)
    draw(sample, target, depth, chosen.work / "depth.png")
    constant = np.full_like(depth, np.median(target[(target > 0) & (target <= 80)]))
    record = write_record(
        chosen.record,
        {
            "steps": chosen.steps,
            "seconds_per_step": round(seconds / chosen.steps, 2),
            "radar": "simulated from the LiDAR",
            "radar_returns_in_view": len(np.unique(np.nonzero(sample.radar_map[0])[0])),
            "loss_first_last": [round(losses[0], 3), round(float(np.mean(losses[-10:])), 3)],
            "after": errors(depth, target),
            "best_constant": {key: v for key, v in errors(constant, target).items() if key.endswith("_m")},
        },
        packages=("torch", "numpy"),
    )
    print(record)
    print(f"picture: {chosen.work / 'depth.png'}")


if __name__ == "__main__":
    main()
