"""Time the nuScenes detection evaluation on a job of the size of the validation split, files included.

Run `python benchmarks/bench_nuscenes_eval.py`; it writes benchmarks/results/nuscenes_eval.json. The data are
synthetic and seeded: 6019 samples with about 30 labelled objects and 200 to 300 detections each, as tables
and a submission of half a gigabyte. With `--kit-python PATH`, a Python that has nuscenes-devkit 1.2.0, the
official kit evaluates the same files in a process of its own, and both must agree on every figure.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
from evaluators import nuscenes
from fusion3d_appkit.record import write_record

RESULT = Path(__file__).parent / "results" / "nuscenes_eval.json"
KIT = Path(__file__).parent / "nuscenes_devkit" / "run.py"
CATEGORY_OF = {name: category for category, name in nuscenes.CLASS_OF_CATEGORY.items()}
CLASSES = tuple(CATEGORY_OF)
SHARES = {"car": 0.42, "pedestrian": 0.2, "barrier": 0.14, "traffic_cone": 0.09, "truck": 0.07}
SIZES = {"pedestrian": (0.7, 0.7, 1.8), "traffic_cone": (0.4, 0.4, 1.0), "barrier": (2.5, 0.5, 1.0)}
ATTRIBUTE_OF = {
    rule.name: rule.attributes[0] if rule.attributes else "" for rule in nuscenes.DETECTION_CVPR_2019.classes
}


def names_of(rng: np.random.Generator, count: int) -> list[str]:
    shares = np.array([SHARES.get(name, 0.016) for name in CLASSES])
    return rng.choice(CLASSES, count, p=shares / shares.sum()).tolist()


def boxes_of(rng: np.random.Generator, names: list[str], places: np.ndarray) -> dict[str, object]:
    sizes = np.array([SIZES.get(name, (1.9, 4.6, 1.7)) for name in names]).reshape(-1, 3)
    return {
        "translation": places,
        "size_wlh": sizes * rng.uniform(0.9, 1.1, (len(names), 3)),
        "rotation": nuscenes.rotation_from_yaw(rng.uniform(-np.pi, np.pi, len(names))),
        "velocity": rng.normal(0, 3, (len(names), 2)),
        "attributes": [ATTRIBUTE_OF[name] for name in names],
    }


def detections(rng: np.random.Generator, names: list[str], places: np.ndarray) -> nuscenes.NuscenesBoxes:
    """Return found objects, doubled ones and many false alarms, as of a detector without a cut-off."""
    found = np.flatnonzero(rng.random(len(names)) < 0.85)
    rows = np.concatenate([found, rng.choice(found, len(found) // 2)]) if len(found) else found
    alarms = int(rng.integers(200, 301)) - len(rows)
    all_names = [names[row] for row in rows] + names_of(rng, alarms)
    spread = np.column_stack([rng.uniform(-54, 54, (alarms, 2)), rng.normal(1, 0.3, alarms)])
    all_places = np.concatenate([places[rows] + rng.normal(0, 0.4, (len(rows), 3)), spread])
    scores = np.concatenate([rng.beta(4, 2, len(rows)), rng.beta(1, 6, alarms)])
    return nuscenes.NuscenesBoxes.predictions(all_names, score=scores, **boxes_of(rng, all_names, all_places))


def tables_of(rng: np.random.Generator, samples: int, all_places: list[tuple[list[str], np.ndarray]]) -> dict:
    """Return the tables; every object is in two consecutive samples, so that it has a velocity."""
    tables: dict[str, list[dict[str, object]]] = {
        "category": [{"token": f"c-{name}", "name": name} for name in CATEGORY_OF.values()],
        "attribute": [{"token": f"t-{name}", "name": name} for name in {*ATTRIBUTE_OF.values()} - {""}],
        "visibility": [{"token": "1"}],
        "sensor": [{"token": "top", "channel": "LIDAR_TOP", "modality": "lidar"}],
        "calibrated_sensor": [{"token": "mount", "sensor_token": "top"}],
        "log": [{"token": "log"}],
        "map": [{"token": "map", "log_tokens": ["log"], "filename": "empty.png"}],
        "scene": [{"token": name, "name": name, "log_token": "log"} for name in nuscenes.SPLITS["mini_val"]],
        "sample": [],
        "sample_data": [],
        "ego_pose": [],
        "instance": [],
        "sample_annotation": [],
    }
    for at in range(samples):
        token = f"{at:032x}"
        scene = nuscenes.SPLITS["mini_val"][2 * at // samples]
        tables["sample"].append({"token": token, "timestamp": 500_000 * at, "scene_token": scene})
        tables["ego_pose"].append({"token": f"p{at}", "translation": [0.0, 0.0, 0.0]})
        tables["sample_data"].append(
            {
                "token": f"d{at}",
                "sample_token": token,
                "ego_pose_token": f"p{at}",
                "calibrated_sensor_token": "mount",
                "is_key_frame": True,
            }
        )
        names, places = all_places[at]
        columns = boxes_of(rng, names, places)
        for row, name in enumerate(names):
            tables["instance"].append({"token": f"i{at}-{row}", "category_token": f"c-{CATEGORY_OF[name]}"})
            other = at + (1 if at % 2 == 0 else -1)
            there = 0 <= other < samples and row < len(all_places[other][0])
            tables["sample_annotation"].append(
                {
                    "token": f"a{at}-{row}",
                    "sample_token": token,
                    "instance_token": f"i{at}-{row}",
                    "attribute_tokens": [f"t-{ATTRIBUTE_OF[name]}"] if ATTRIBUTE_OF[name] else [],
                    "translation": places[row].tolist(),
                    "size": columns["size_wlh"][row].tolist(),
                    "rotation": columns["rotation"][row].tolist(),
                    "prev": f"a{other}-{row}" if there and other < at else "",
                    "next": f"a{other}-{row}" if there and other > at else "",
                    "num_lidar_pts": int(rng.integers(0, 20)),
                    "num_radar_pts": 0,
                }
            )
    return tables


def make_files(root: Path, samples: int, seed: int) -> dict[str, float]:
    """Write v1.0-mini, empty.png and results.json under `root`; return how much there is."""
    rng = np.random.default_rng(seed)
    all_places: list[tuple[list[str], np.ndarray]] = []
    found: dict[str, nuscenes.NuscenesBoxes] = {}
    for at in range(samples):
        names = names_of(rng, int(rng.poisson(30)))
        places = np.column_stack([rng.uniform(-50, 50, (len(names), 2)), rng.normal(1, 0.3, len(names))])
        all_places.append((names, places))
        found[f"{at:032x}"] = detections(rng, names, places)
    (root / "v1.0-mini").mkdir()
    (root / "empty.png").touch()
    for name, records in tables_of(rng, samples, all_places).items():
        (root / "v1.0-mini" / f"{name}.json").write_text(json.dumps(records))
    submission = root / "results.json"
    nuscenes.write_submission(submission, found, meta=nuscenes.NuscenesMeta(use_lidar=True))
    return {
        "samples": samples,
        "objects": sum(len(names) for names, _ in all_places),
        "detections": sum(map(len, found.values())),
        "submission_mb": round(submission.stat().st_size / 1e6, 1),
        "seed": seed,
    }


def timed_evaluation(root: Path) -> tuple[dict[str, float], nuscenes.NuscenesResult]:
    """Return seconds per stage; `parse_only_s` is `json.loads` alone on the submission, for comparison."""
    start, start_cpu = time.perf_counter(), time.process_time()
    gt = nuscenes.read_ground_truth(root, split="mini_val")
    tables = time.perf_counter()
    found = nuscenes.read_submission(root / "results.json", frames=gt).boxes
    read, read_cpu = time.perf_counter(), time.process_time()
    evaluator = nuscenes.NuscenesEvaluator()
    for token, boxes in found.items():
        evaluator.update(token, gt[token], boxes)
    updated = time.perf_counter()
    result = evaluator.compute(order=list(found))
    result.to_json()
    end, end_cpu = time.perf_counter(), time.process_time()
    content = (root / "results.json").read_bytes()
    parse = time.perf_counter()
    json.loads(content)
    stages = {
        "read_tables_s": tables - start,
        "read_submission_s": read - tables,
        "update_s": updated - read,
        "compute_s": end - updated,
        "evaluate_s": end - read,
        "evaluate_cpu_s": end_cpu - read_cpu,
        "total_s": end - start,
        # What the total would be if nothing else ran.
        "total_cpu_s": end_cpu - start_cpu,
        "parse_only_s": time.perf_counter() - parse,
    }
    return stages, result


def official_kit(root: Path, python: Path, ours: nuscenes.NuscenesResult) -> dict[str, float]:
    """Return the seconds of the official kit, after comparing all its figures with ours."""
    out = root / "kit.json"
    command = [str(python), str(KIT), str(root), str(root / "results.json"), str(out)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    report = json.loads(out.read_text())
    theirs, mine = report.pop("summary"), ours.to_json()
    apart = [abs(theirs[key] - mine[key]) for key in ("mean_ap", "nd_score")]
    for key in ("label_aps", "label_tp_errors"):
        for name, values in theirs[key].items():
            for column, value in values.items():
                own = mine[key][name][column]
                apart.append(abs(value - own) if own is not None else 0.0 if math.isnan(value) else math.inf)
    if max(apart) > 1e-9:
        raise RuntimeError(f"the official kit gives other figures, up to {max(apart)} apart")
    return report | {"largest_difference": max(apart)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=6019)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--kit-python", type=Path, help="a Python that has nuscenes-devkit 1.2.0")
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        job = make_files(root, options.samples, seed=1)
        # The first run compiles the kernel, or loads it from the cache.
        result = timed_evaluation(root)[1]
        runs = [timed_evaluation(root)[0] for _ in range(options.repeats)]
        kit = official_kit(root, options.kit_python, result) if options.kit_python else None
    report = {
        "job": job,
        "median": {key: round(statistics.median(run[key] for run in runs), 3) for key in runs[0]},
        "min": {key: round(min(run[key] for run in runs), 3) for key in runs[0]},
        "official_kit": kit,
    }
    print(write_record(options.out, report, packages=("numpy", "numba", "evaluators", "geom3d")))


if __name__ == "__main__":
    main()
