"""Let the official kit evaluate a submission and write its seconds and figures as JSON.

Run by bench_nuscenes_eval.py with a Python that has nuscenes-devkit 1.2.0:

    python run.py DATAROOT SUBMISSION OUT.json
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path


def main(dataroot: str, submission: str, out: str) -> None:
    from nuscenes import NuScenes
    from nuscenes.eval.common.config import config_factory
    from nuscenes.eval.detection.evaluate import DetectionEval

    start, start_cpu = time.perf_counter(), time.process_time()
    tables = NuScenes(version="v1.0-mini", dataroot=dataroot, verbose=False)
    loaded = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        kit = DetectionEval(
            tables,
            config=config_factory("detection_cvpr_2019"),
            result_path=submission,
            eval_set="mini_val",
            output_dir=folder,
            verbose=False,
        )
    filtered, filtered_cpu = time.perf_counter(), time.process_time()
    metrics, _ = kit.evaluate()
    end = time.perf_counter()
    report = {
        "read_tables_s": loaded - start,
        "read_submission_and_filter_s": filtered - loaded,
        "evaluate_s": end - filtered,
        "evaluate_cpu_s": time.process_time() - filtered_cpu,
        "total_s": end - start,
        "total_cpu_s": time.process_time() - start_cpu,
        "summary": metrics.serialize(),
    }
    Path(out).write_text(json.dumps(report))


if __name__ == "__main__":
    main(*sys.argv[1:4])
