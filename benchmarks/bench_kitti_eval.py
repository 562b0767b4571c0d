"""Time the KITTI object evaluation on a job of the size of the KITTI validation split, files included.

Run `python benchmarks/bench_kitti_eval.py`; it writes benchmarks/results/kitti_eval.json. The data are
synthetic and seeded: 3769 frames with about 15 labelled objects and 30 detections each.

With the environment variable KITTI_DEVKIT naming the official kit, built by benchmarks/kitti_devkit/build.py,
the kit runs on the same files (about two minutes): its time is recorded, its curves are compared with ours.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from evaluators import kitti
from fusion3d_appkit.record import write_record

RESULT = Path(__file__).parent / "results" / "kitti_eval.json"
CLASSES = np.array(
    ["Car", "Pedestrian", "Cyclist", "Van", "Truck", "Person_sitting", "Tram", "Misc", "DontCare"]
)
SHARES = np.array([0.5, 0.13, 0.06, 0.06, 0.03, 0.02, 0.02, 0.03, 0.15])
SIZES_HWL = {"Pedestrian": (1.75, 0.65, 0.85), "Person_sitting": (1.3, 0.6, 0.8), "Cyclist": (1.7, 0.6, 1.75)}
CAR_HWL = (1.5, 1.6, 3.9)
FOCAL_PX = 721.5


def objects(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return class names [n] and numbers [n, 14] (truncated ... rotation_y) of a plausible frame."""
    names = rng.choice(CLASSES, size=count, p=SHARES)
    sizes = np.array([SIZES_HWL.get(name, CAR_HWL) for name in names]) * rng.uniform(0.9, 1.1, (count, 3))
    z = rng.uniform(5, 70, count)
    x = rng.uniform(-0.6, 0.6, count) * z
    location = np.column_stack([x, rng.normal(1.7, 0.1, count), z])
    yaw = rng.uniform(-np.pi, np.pi, count)
    width_px, height_px = FOCAL_PX * sizes[:, 2] / z, FOCAL_PX * sizes[:, 0] / z
    centre, bottom = 620 + FOCAL_PX * x / z, 175 + FOCAL_PX * location[:, 1] / z
    box = np.column_stack([centre - width_px / 2, bottom - height_px, centre + width_px / 2, bottom])
    box = np.clip(box, 0, [1241, 374, 1241, 374])
    occluded = rng.choice([0, 1, 2, 3], size=count, p=[0.55, 0.2, 0.15, 0.1])
    truncated = np.where(rng.random(count) < 0.1, rng.uniform(0, 1, count), 0)
    values = np.column_stack([truncated, occluded, yaw - np.arctan2(x, z), box, sizes, location, yaw])
    values[names == "DontCare"] = [-1, -1, -10, 0, 0, 0, 0, -1, -1, -1, -1000, -1000, -1000, -10]
    values[names == "DontCare", 3:7] = box[names == "DontCare"]
    return names, values


def detections(
    rng: np.random.Generator, names: np.ndarray, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return found objects, doubled ones and false alarms with scores, 15 numbers per row."""
    real = names != "DontCare"
    found = np.flatnonzero(real & (rng.random(len(names)) < 0.85))
    rows = np.concatenate([found, found[rng.random(len(found)) < 0.25]])
    copies = values[rows].copy()
    copies[:, 3:7] += rng.normal(0, 1.5, (len(rows), 4))
    copies[:, 7:10] *= rng.normal(1, 0.03, (len(rows), 3))
    copies[:, 10:13] += rng.normal(0, 0.12, (len(rows), 3))
    copies[:, 13] += rng.normal(0, 0.08, len(rows))
    false_names, false_values = objects(rng, 24)
    keep = np.isin(false_names, CLASSES[:3])
    scores = np.concatenate([rng.beta(5, 2, len(rows)), rng.beta(2, 4, int(keep.sum()))])
    table = np.column_stack([np.concatenate([copies, false_values[keep]]), scores])
    table[:, 5:7] = np.maximum(table[:, 5:7], table[:, 3:5])
    return np.concatenate([names[rows], false_names[keep]]), table


def write(path: Path, names: np.ndarray, values: np.ndarray, digits: int) -> None:
    """Write one file of the format."""
    lines = [
        f"{name} {row[0]:.2f} {row[1]:.0f} " + " ".join(f"{value:.{digits}f}" for value in row[2:])
        for name, row in zip(names, values, strict=True)
    ]
    path.write_text("".join(line + "\n" for line in lines))


def make_folders(root: Path, frames: int, seed: int) -> tuple[int, int]:
    """Write label_2 and det under `root`; return how many objects and detections there are."""
    rng = np.random.default_rng(seed)
    (root / "label_2").mkdir()
    (root / "det").mkdir()
    n_gt = n_det = 0
    for frame in range(frames):
        names, values = objects(rng, int(rng.poisson(15)))
        det_names, det_values = detections(rng, names, values)
        write(root / "label_2" / f"{frame:06d}.txt", names, values, 2)
        write(root / "det" / f"{frame:06d}.txt", det_names, det_values, 4)
        n_gt, n_det = n_gt + len(names), n_det + len(det_names)
    return n_gt, n_det


def timed_evaluation(root: Path) -> dict[str, float]:
    """Return seconds for reading, for the first table (with overlaps) and for the second."""
    start, start_cpu = time.perf_counter(), time.process_time()
    evaluator = kitti.collect_folders(root / "label_2", root / "det")
    read = time.perf_counter()
    evaluator.compute(overlaps="strict")
    strict = time.perf_counter()
    evaluator.compute(overlaps="loose")
    end = time.perf_counter()
    return {
        "read_s": read - start,
        "strict_s": strict - read,
        "loose_s": end - strict,
        "total_s": end - start,
        # What the total would be if nothing else ran.
        "total_cpu_s": time.process_time() - start_cpu,
    }


def timed_program(command: list[str], **options: Any) -> dict[str, float]:
    """Run a program; return the seconds it took and the seconds that it computed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"wall_s": wall, "cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}


def command_line(root: Path, *more: str) -> dict[str, float]:
    """Return time and peak memory of `python -m evaluators kitti`, start of Python included."""
    command = [sys.executable, "-m", "evaluators", "kitti", *more]
    command += ["--gt", str(root / "label_2"), "--pred", str(root / "det"), "--json", str(root / "r.json")]
    # As an ordinary user: modules are compiled to bytecode once, by the first of the two runs.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    timed_program(command, env=environment)
    seconds = timed_program(command, env=environment)
    # Kilobytes on Linux, bytes on macOS.
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit
    return seconds | {"peak_mb": peak / 1e6}


def official_kit(program: Path, root: Path, frames: int) -> dict[str, float]:
    """Return the seconds of the official kit on the same files, and how far its figures are from ours.

    It needs its own folder layout and always reads frames 0 to `frames` - 1.
    """
    work = root / "kit"
    results = work / "results" / "run"
    (results / "plot").mkdir(parents=True)
    (work / "data" / "object").mkdir(parents=True)
    (work / "data" / "object" / "label_2").symlink_to(root / "label_2")
    (results / "data").symlink_to(root / "det")
    environment = {**os.environ, "KITTI_FRAMES": str(frames)}
    seconds = timed_program([str(program.resolve()), "run"], cwd=work, env=environment)
    ours = kitti.evaluate_folders(root / "label_2", root / "det")
    endings = {"2d": "detection", "aos": "orientation", "bev": "detection_ground", "3d": "detection_3d"}
    differences = [0.0]
    compared = 0
    for (name, metric, level), curve in ours.curves.items():
        if not curve.evaluated:
            continue
        lines = (results / f"stats_{name.lower()}_{endings[metric]}.txt").read_text().splitlines()
        theirs = np.array(lines[("easy", "moderate", "hard").index(level)].split(), dtype=float)
        differences.append(float(np.abs(theirs - curve.curve).max()))
        compared += 1
    return seconds | {"curves_compared": compared, "largest_difference_of_a_curve": max(differences)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=3769)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        n_gt, n_det = make_folders(root, options.frames, seed=1)
        # The first run compiles the kernels, or loads them from the cache.
        timed_evaluation(root)
        runs = [timed_evaluation(root) for _ in range(options.repeats)]
        shell = command_line(root)
        strict = command_line(root, "--overlaps", "strict")
        program = os.environ.get("KITTI_DEVKIT")
        kit = official_kit(Path(program), root, options.frames) if program else {}
    report: dict[str, Any] = {
        "job": {"frames": options.frames, "objects": n_gt, "detections": n_det, "seed": 1},
        "median": {key: round(statistics.median(run[key] for run in runs), 3) for key in runs[0]},
        "min": {key: round(min(run[key] for run in runs), 3) for key in runs[0]},
        "command_line_both_tables": {key: round(value, 3) for key, value in shell.items()},
        "command_line_strict": {key: round(value, 3) for key, value in strict.items()},
    }
    if kit:
        report["official_kit_strict"] = kit
        report["official_kit_over_command_line_strict"] = {
            key: round(kit[key] / strict[key], 1) for key in ("wall_s", "cpu_s")
        }
    print(write_record(options.out, report, packages=("numpy", "numba", "evaluators", "geom3d")))


if __name__ == "__main__":
    main()
