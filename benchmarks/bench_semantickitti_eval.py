"""Time the SemanticKITTI evaluation on a job of the size of sequence 08, against merely reading its files.

Run `python benchmarks/bench_semantickitti_eval.py`; it writes benchmarks/results/semantickitti_eval.json.
4071 scans of 120 000 points, ground truth and prediction: 3.9 GB of synthetic label files in a temporary
folder, in the page cache when they are timed. `--unique` writes fewer and links them.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from evaluators import semantickitti
from evaluators.semantickitti.files import ScanReader, frame_file
from fusion3d_appkit.record import write_record

RESULT = Path(__file__).parent / "results" / "semantickitti_eval.json"
SCANS, POINTS = 4071, 120_000
RAW_IDS = np.array([raw for raw, _ in semantickitti.SINGLE_SCAN.raw_to_train], dtype=np.uint32)
# A real scan has runs of 28 points with one label, instance included, in file order.
RUN, WRONG_RUN, WRONG = 28, 10, 0.1


def runs(rng: np.random.Generator, length: int, values: np.ndarray) -> np.ndarray:
    """Return random values that stay the same for `length` points on average."""
    repeats = rng.geometric(1 / length, size=2 * POINTS // length)
    return np.repeat(rng.choice(values, size=len(repeats)), repeats)[:POINTS]


def labels(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return ground truth with instances, and predictions wrong for a tenth of the points, in runs."""
    frequent = rng.choice(RAW_IDS, size=60, p=rng.dirichlet(np.full(len(RAW_IDS), 0.5)))
    gt = runs(rng, RUN, frequent)
    wrong = runs(rng, WRONG_RUN, np.arange(100)) < 100 * WRONG
    pred = np.where(wrong, runs(rng, WRONG_RUN, RAW_IDS), gt)
    return gt | rng.integers(1, 300, dtype=np.uint32) << 16, pred


def make_tree(root: Path, scans: int, unique: int) -> list[str]:
    """Write the label files of sequence 08; return the scan names."""
    rng = np.random.default_rng(1)
    frames = [f"08/{index:06d}" for index in range(scans)]
    for index, frame in enumerate(frames):
        content = labels(rng) if index < unique else (None, None)
        for kind, values in zip(("labels", "predictions"), content, strict=True):
            path = semantickitti.frame_path(root, frame, kind)
            if values is not None:
                semantickitti.write_label_file(path, values)
            else:
                path.hardlink_to(semantickitti.frame_path(root, frames[index % unique], kind))
    return frames


def read_plainly(root: Path, frames: list[str]) -> None:
    """Read both files of every scan as scripts do."""
    for frame in frames:
        np.fromfile(frame_file(root, frame, "labels"), dtype=np.uint32)
        np.fromfile(frame_file(root, frame, "predictions"), dtype=np.uint32)


def read_fast(root: Path, frames: list[str], threads: int) -> None:
    """Read both files of every scan into memory that is used again."""

    def read(some: list[str]) -> None:
        reader = ScanReader()
        for frame in some:
            reader.labels(frame_file(root, frame, "labels"))
            reader.labels(frame_file(root, frame, "predictions"))

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(read, [frames[start::threads] for start in range(threads)]))


def timed(work: Callable[[], object]) -> dict[str, float]:
    """Return wall and processor seconds of one call."""
    start, start_cpu = time.perf_counter(), time.process_time()
    work()
    return {"wall_s": time.perf_counter() - start, "cpu_s": time.process_time() - start_cpu}


def command_line(root: Path) -> dict[str, float]:
    """Return the wall time of the command, start of Python included."""
    command = [sys.executable, "-m", "evaluators", "semantickitti", "--gt", str(root), "--pred", str(root)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    start = time.perf_counter()
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return {"wall_s": round(time.perf_counter() - start, 3)}


def measure(root: Path, frames: list[str], repeats: int) -> dict[str, dict[str, float]]:
    """Return the medians of every kind of work, taken in turn."""
    works: dict[str, Callable[[], object]] = {
        "read_fromfile": lambda: read_plainly(root, frames),
        "read_1_thread": lambda: read_fast(root, frames, 1),
        "read_2_threads": lambda: read_fast(root, frames, 2),
        "evaluate": lambda: semantickitti.evaluate_folders(root, root),
    }
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in works}
    for turn in range(repeats + 1):
        for name, work in works.items():
            measured = timed(work)
            # The first turn fills the page cache and compiles the kernels, or loads them.
            if turn:
                runs[name].append(measured)
    return {
        name: {key: round(statistics.median(run[key] for run in some), 4) for key in some[0]}
        for name, some in runs.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scans", type=int, default=SCANS)
    parser.add_argument("--unique", type=int, default=SCANS, help="scans with files of their own")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where to put the files for the time of the run")
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        root = Path(folder)
        frames = make_tree(root, options.scans, options.unique)
        medians = measure(root, frames, options.repeats)
        command_line(root)
        shell = command_line(root)
    evaluate = medians["evaluate"]["wall_s"]
    report = {
        "job": {"scans": options.scans, "unique": min(options.unique, options.scans), "points": POINTS},
        "median": medians,
        "evaluate_us_per_scan": round(1e6 * evaluate / options.scans, 1),
        "speed_relative_to_read_fromfile": round(medians["read_fromfile"]["wall_s"] / evaluate, 3),
        "speed_relative_to_read_2_threads": round(medians["read_2_threads"]["wall_s"] / evaluate, 3),
        "command_line": shell,
    }
    print(write_record(options.out, report, packages=("numpy", "numba", "evaluators")))


if __name__ == "__main__":
    main()
