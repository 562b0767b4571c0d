"""Time panoptic quality on scans of 120 000 points against PanopticEval of semantic-kitti-api.

Run `SEMANTIC_KITTI_API=path/to/semantic-kitti-api python benchmarks/bench_panoptic_eval.py`, where the path
is a checkout of PRBonn/semantic-kitti-api; without it only this library is timed. Both get the same arrays in
the same run, alternating, and their counts and IoU sums are compared. The synthetic, seeded scans have 64
rows of a turning sensor, stuff and some 90 instances; predictions have stray points, lost and split objects.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import os
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
from evaluators import panoptic
from evaluators.semantickitti import SINGLE_SCAN
from fusion3d_appkit.record import write_record

RESULT = Path(__file__).parent / "results" / "panoptic_eval.json"
PEER = "SEMANTIC_KITTI_API"
STUFF = np.array([40, 44, 48, 50, 51, 70, 71, 72, 80, 81, 60])
THINGS = np.array([10, 10, 10, 11, 15, 18, 20, 30, 30, 31, 32, 252])
ROWS = 64


def scan(rng: np.random.Generator, points: int) -> tuple[np.ndarray, np.ndarray]:
    """Return ground truth and predictions, packed uint32 [n], row after row of the sensor."""
    columns = points // ROWS
    gt = np.empty((ROWS, columns), dtype=np.uint32)
    # Stuff: bands of rows with borders that wander along the turn.
    for row in range(ROWS):
        borders = np.sort(rng.integers(0, columns, 12))
        gt[row] = STUFF[(row // 8 + np.searchsorted(borders, np.arange(columns))) % len(STUFF)]
    gt[rng.random(gt.shape) < 0.02] = 0
    pred = gt.copy()
    for instance in range(1, 91):
        height, width = int(rng.integers(3, 20)), int(rng.integers(5, 60))
        top, left = int(rng.integers(0, ROWS - height)), int(rng.integers(0, columns - width))
        label = THINGS[rng.integers(len(THINGS))] + (instance << 16)
        gt[top : top + height, left : left + width] = label
        if rng.random() < 0.85:
            shift = int(rng.integers(0, 6))
            pred[top : top + height, left + shift : left + width + shift] = label + (100 << 16)
        if rng.random() < 0.15:
            pred[top : top + height, left : left + width // 2] = label + (200 << 16)
    # Ragged predictions: single points and short runs of another class.
    wrong = rng.random(gt.shape) < 0.03
    pred[wrong] = STUFF[rng.integers(0, len(STUFF), int(wrong.sum()))]
    return gt.ravel(), pred.ravel()


def peer_class(folder: str) -> Any:
    """Return the class PanopticEval of the checkout."""
    spec = importlib.util.spec_from_file_location("eval_np", Path(folder, "auxiliary", "eval_np.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.PanopticEval


def seconds(call: Any, *arguments: Any) -> float:
    """Return the processor time of one call: what it would take if nothing else ran."""
    start = time.process_time()
    call(*arguments)
    return time.process_time() - start


def run_peer(peer: Any, gt: np.ndarray, pred: np.ndarray, lookup: np.ndarray) -> None:
    """Do for one scan what the official script does once the files are read."""
    peer.addBatch(lookup[pred & 0xFFFF], pred, lookup[gt & 0xFFFF], gt)


def agrees(result: panoptic.PanopticResult, peer: Any) -> bool:
    """Compare counts exactly, and IoU sums and scores to 1e-9."""
    counts = all(
        np.array_equal(ours, theirs)
        for ours, theirs in (
            (result.tp, peer.pan_tp),
            (result.fp, peer.pan_fp),
            (result.fn, peer.pan_fn),
            (result.confusion, peer.px_iou_conf_matrix),
        )
    )
    figures = np.allclose(result.iou_sum, peer.pan_iou, rtol=0, atol=1e-9)
    return bool(counts and figures and abs(result.mean("pq") - peer.getPQ()[0]) < 1e-9)


def summary(values: list[float]) -> dict[str, float]:
    """Return milliseconds per scan."""
    return {"median": round(1e3 * statistics.median(values), 3), "min": round(1e3 * min(values), 3)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scans", type=int, default=20)
    parser.add_argument("--points", type=int, default=120_000)
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    rng = np.random.default_rng(1)
    scans = [scan(rng, options.points) for _ in range(options.scans)]
    lookup = SINGLE_SCAN.lookup.astype(np.int32)
    ours = panoptic.PanopticEvaluator()
    # Compiles the kernels, or loads them from the cache.
    panoptic.evaluate({"warm": scans[0][0]}, {"warm": scans[0][1]})
    peer = None
    if os.environ.get(PEER):
        with contextlib.redirect_stdout(io.StringIO()):
            peer = peer_class(os.environ[PEER])(len(SINGLE_SCAN.classes), None, [0], min_points=50)
    own_s: list[float] = []
    peer_s: list[float] = []
    for at, (gt, pred) in enumerate(scans):
        own_s.append(seconds(ours.update, f"{at:06d}", gt, pred))
        if peer is not None:
            peer_s.append(seconds(run_peer, peer, gt, pred, lookup))
    result = ours.compute()
    report: dict[str, Any] = {
        "job": {
            "scans": options.scans,
            "points": len(scans[0][0]),
            "segments_gt": round(float(np.mean([len(np.unique(gt)) for gt, _ in scans])), 1),
            "segments_pred": round(float(np.mean([len(np.unique(pred)) for _, pred in scans])), 1),
            "seed": 1,
        },
        "evaluators_cpu_ms_per_scan": summary(own_s),
    }
    if peer is not None:
        report["semantic_kitti_api_cpu_ms_per_scan"] = summary(peer_s)
        report["times_faster"] = round(statistics.median(peer_s) / statistics.median(own_s), 1)
        report["same_result"] = agrees(result, peer)
    print(write_record(options.out, report, packages=("numpy", "numba", "evaluators")))


if __name__ == "__main__":
    main()
