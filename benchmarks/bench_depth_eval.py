"""Time the depth evaluation on 1000 images of KITTI's size, against the same figures in plain NumPy.

Run `python benchmarks/bench_depth_eval.py`; it writes benchmarks/results/depth_eval.json. The data are
synthetic and seeded: 375 x 1242 pixels, true depth in 16 % of them, three caps. Fifty images are drawn, the
others are links to them. Reading PNG files needs Pillow.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from evaluators import depth
from fusion3d_appkit.record import write_record

RESULT = Path(__file__).parent / "results" / "depth_eval.json"
SHAPE = (375, 1242)
CAPS_M = (50.0, 80.0, math.inf)
DRAWN = 50


def make_folders(root: Path, images: int, seed: int) -> None:
    """Write gt and pred under `root`."""
    rng = np.random.default_rng(seed)
    v = np.arange(SHAPE[0])[:, None]
    for folder in ("gt", "pred"):
        (root / folder).mkdir()
    for index in range(images):
        name = f"{index:06d}.png"
        if index >= DRAWN:
            for folder in ("gt", "pred"):
                os.link(root / folder / f"{index % DRAWN:06d}.png", root / folder / name)
            continue
        scene = 1.65 * 720 / np.maximum(v - rng.uniform(140, 180), 1.65 * 9) * rng.uniform(0.9, 1.1, SHAPE[1])
        seen = rng.random(SHAPE) < 0.16
        depth.write_depth_png(root / "gt" / name, np.where(seen, scene, 0))
        depth.write_depth_png(root / "pred" / name, np.clip(scene * rng.normal(1, 0.03, SHAPE), 1, 250))


def numpy_figures(gt: np.ndarray, pred: np.ndarray) -> list[list[float]]:
    """Return the figures of `depth.METRICS` per cap, each as its formula reads."""
    rows: list[list[float]] = []
    for cap in CAPS_M:
        valid = (gt > 0) & (gt <= cap)
        g, p = gt[valid], pred[valid]
        error, inverse, log = np.abs(g - p), np.abs(1 / g - 1 / p), np.log(g) - np.log(p)
        ratio = np.maximum(g / p, p / g)
        rows.append(
            [
                error.mean(),
                np.sqrt((error**2).mean()),
                1000 * inverse.mean(),
                1000 * np.sqrt((inverse**2).mean()),
                np.abs(log).mean(),
                np.sqrt((log**2).mean()),
                log.std(),
                (error / g).mean(),
                (error**2 / g**2).mean(),
                (error**2 / g).mean(),
                *((ratio < limit).mean() for limit in depth.DELTAS),
            ]
        )
    return rows


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Return wall and process seconds."""
    start, start_cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start, time.process_time() - start_cpu


def one_run(root: Path, processes: int) -> dict[str, float]:
    """Return seconds: files, figures here without and with stripes, in NumPy, and files to result at once."""
    names = sorted(path.name for path in (root / "gt").iterdir())
    seconds = dict.fromkeys(
        (
            f"{part}_{kind}"
            for part in ("decode", "figures", "figures_and_stripes", "numpy")
            for kind in ("s", "cpu_s")
        ),
        0.0,
    )
    plain, full = (depth.DepthEvaluator(caps_m=CAPS_M, stripes=stripes) for stripes in (False, True))
    rows: list[list[list[float]]] = []
    for name in names:
        maps: list[np.ndarray] = []
        work: dict[str, Callable[[], object]] = {
            "decode": lambda name=name, maps=maps: maps.extend(
                depth.read_depth(root / folder / name) for folder in ("gt", "pred")
            ),
            "figures": lambda name=name, maps=maps: plain.update(name, *maps),
            "figures_and_stripes": lambda name=name, maps=maps: full.update(name, *maps),
            "numpy": lambda maps=maps: rows.append(numpy_figures(*maps)),
        }
        for part, step in work.items():
            wall, cpu = timed(step)
            seconds[f"{part}_s"] += wall
            seconds[f"{part}_cpu_s"] += cpu
    seconds["compute_s"] = timed(full.compute)[0]
    result = plain.compute()
    for index, cap in enumerate(CAPS_M):
        np.testing.assert_allclose(
            list(result.image_mean[cap].values()), np.mean([row[index] for row in rows], axis=0), rtol=1e-9
        )
    empty = depth.DepthEvaluator(caps_m=CAPS_M)
    for count in dict.fromkeys((1, processes)):
        start = time.perf_counter()
        depth.collect_folders(root / "gt", root / "pred", like=empty, processes=count).compute()
        seconds[f"files_to_result_{count}_processes_s"] = time.perf_counter() - start
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_folders(root, options.images, seed=1)
        # Compiles the kernels, or loads them from the cache.
        depth.evaluate_folders(root / "gt", root / "pred", frames=["000000"])
        runs = [one_run(root, options.processes) for _ in range(options.repeats)]
    report = {
        "job": {"images": options.images, "shape": list(SHAPE), "caps_m": [50, 80, "none"], "seed": 1},
        "median": {key: round(statistics.median(run[key] for run in runs), 3) for key in runs[0]},
        "min": {key: round(min(run[key] for run in runs), 3) for key in runs[0]},
    }
    print(write_record(options.out, report, packages=("numpy", "numba", "pillow", "evaluators")))


if __name__ == "__main__":
    main()
