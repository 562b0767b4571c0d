"""Time indoor detection on a job of the size of the ScanNet validation split, files included.

Run `python benchmarks/bench_indoor_eval.py`; it writes benchmarks/results/indoor_eval.json. The data are
synthetic and seeded: 312 scenes with about 15 objects of 18 classes and 200 to 1000 predictions each
(proposals that are written out once per class, as VoteNet does it), axis-aligned, then rotated.

No other program is timed here: mmdet3d's `indoor_eval` needs torch, mmengine and the compiled operators of
mmcv, and stops with a TypeError on NumPy 2.4.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from evaluators import indoor
from evaluators._report import write_json
from fusion3d_appkit.record import write_record

RESULT = Path(__file__).parent / "results" / "indoor_eval.json"
CLASSES = len(indoor.SCANNET.classes)


def ground_truth(rng: np.random.Generator, *, rotated: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return boxes [n, 7] and labels [n] of a plausible room."""
    count = max(1, int(rng.poisson(15)))
    boxes = np.column_stack(
        [
            rng.uniform([-4, -4, 0.2], [4, 4, 1.2], (count, 3)),
            rng.uniform(0.3, 2.0, (count, 3)),
            rng.uniform(-np.pi, np.pi, count) * rotated,
        ]
    )
    return boxes, rng.integers(0, CLASSES, count)


def predictions(
    rng: np.random.Generator, boxes: np.ndarray, labels: np.ndarray, *, rotated: bool
) -> indoor.IndoorBoxes:
    """Return 200 to 1000 predictions: proposals near objects, each written for several classes."""
    proposals = int(rng.integers(12, 56))
    source = rng.integers(0, len(boxes), proposals)
    moved = boxes[source] + rng.normal(0, 0.15, (proposals, 7)) * [1, 1, 1, 0, 0, 0, rotated]
    moved[:, 3:6] *= rng.uniform(0.85, 1.15, (proposals, 3))
    chances = rng.dirichlet(np.full(CLASSES, 0.3), proposals)
    chances[np.arange(proposals), labels[source]] += rng.beta(2, 2, proposals)
    table = np.repeat(moved, CLASSES, axis=0)
    columns = np.tile(np.arange(CLASSES), proposals)
    return indoor.IndoorBoxes(table, columns, chances.ravel())


def make_folders(root: Path, scenes: int, *, seed: int, rotated: bool) -> dict[str, int]:
    """Write gt and pred under `root`; return how many boxes there are."""
    rng = np.random.default_rng(seed)
    for name in ("gt", "pred"):
        (root / name).mkdir(parents=True)
    n_gt = n_det = 0
    for scene in range(scenes):
        boxes, labels = ground_truth(rng, rotated=rotated)
        found = predictions(rng, boxes, labels, rotated=rotated)
        indoor.write_boxes(root / "gt" / f"scene{scene:04d}_00.npz", indoor.IndoorBoxes(boxes, labels))
        indoor.write_boxes(root / "pred" / f"scene{scene:04d}_00.npz", found)
        n_gt, n_det = n_gt + len(boxes), n_det + len(found)
    return {"scenes": scenes, "objects": n_gt, "predictions": n_det, "seed": seed}


def timed_evaluation(root: Path) -> dict[str, float]:
    """Return seconds per stage: reading, matching, curves and means, and the report."""
    start, start_cpu = time.perf_counter(), time.process_time()
    names = sorted(path.stem for path in (root / "gt").iterdir())
    gt = {name: indoor.read_ground_truth(root / "gt" / f"{name}.npz") for name in names}
    pred = {name: indoor.read_predictions(root / "pred" / f"{name}.npz") for name in names}
    read = time.perf_counter()
    evaluator = indoor.IndoorEvaluator()
    for name in names:
        evaluator.update(name, gt[name], pred[name])
    matched = time.perf_counter()
    result = evaluator.compute()
    computed = time.perf_counter()
    write_json(root / "report.json", result.to_json())
    result.table()
    end = time.perf_counter()
    return {
        "read_s": read - start,
        "match_s": matched - read,
        "curves_s": computed - matched,
        "report_s": end - computed,
        "total_s": end - start,
        # What the total would be if nothing else ran.
        "total_cpu_s": time.process_time() - start_cpu,
    }


def command_line(root: Path) -> float:
    """Return the wall time of `python -m evaluators indoor`, start of Python included."""
    command = [sys.executable, "-m", "evaluators", "indoor", "--json", str(root / "r.json")]
    command += ["--gt", str(root / "gt"), "--pred", str(root / "pred")]
    # As an ordinary user: modules are compiled to bytecode once, by the first of the two runs.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    wall = 0.0
    for _ in range(2):
        start = time.perf_counter()
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
        wall = time.perf_counter() - start
    return wall


def job(root: Path, *, scenes: int, repeats: int, rotated: bool) -> dict[str, object]:
    """Return the size of one job and its seconds."""
    size = make_folders(root, scenes, seed=1, rotated=rotated)
    # The first run compiles the kernels, or loads them from the cache.
    timed_evaluation(root)
    runs = [timed_evaluation(root) for _ in range(repeats)]
    return {
        "job": size,
        "median": {key: round(statistics.median(run[key] for run in runs), 4) for key in runs[0]},
        "min": {key: round(min(run[key] for run in runs), 4) for key in runs[0]},
        "command_line_wall_s": round(command_line(root), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenes", type=int, default=312)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    jobs = {"axis_aligned": False, "rotated": True}
    with tempfile.TemporaryDirectory() as folder:
        report: dict[str, object] = {
            name: job(Path(folder) / name, scenes=options.scenes, repeats=options.repeats, rotated=rotated)
            for name, rotated in jobs.items()
        }
    print(write_record(options.out, report, packages=("numpy", "numba", "evaluators", "geom3d")))


if __name__ == "__main__":
    main()
