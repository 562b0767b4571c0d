"""Speed and memory of the synthetic street: frames per second at 120k LiDAR rays and a 1242 x 375 picture.

python benchmarks/bench_synth.py [--frames 24] [--workers 2] [--out benchmarks/results/synth.json]
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from datasets3d.synth import CameraConfig, SynthConfig, write_kitti
from fusion3d_appkit.record import write_record


def _cpu_seconds(workers: int) -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF if workers == 1 else resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def measure(config: SynthConfig, *, frames: int, workers: int) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        start, cpu_start = time.perf_counter(), _cpu_seconds(workers)
        out = write_kitti(
            Path(folder) / "kitti", frames=frames, seed=0, config=config, workers=workers, progress=False
        )
        seconds, cpu = time.perf_counter() - start, _cpu_seconds(workers) - cpu_start
        size = sum(p.stat().st_size for p in out.rglob("*") if p.is_file())
        points = [p.stat().st_size // 16 for p in (out / "training" / "velodyne").glob("*.bin")]
    usage = resource.RUSAGE_SELF if workers == 1 else resource.RUSAGE_CHILDREN
    return {
        "frames": frames,
        "workers": workers,
        "image": [config.camera.width, config.camera.height],
        "frames_per_second": round(frames / seconds, 2),
        "seconds": round(seconds, 1),
        "cpu_seconds_per_frame": round(cpu / frames, 2),
        "peak_memory_mib_per_process": round(resource.getrusage(usage).ru_maxrss / 1024),
        "mean_points": round(float(np.mean(points))),
        "megabytes_per_frame": round(size / frames / 1e6, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/synth.json"))
    args = parser.parse_args()
    full = SynthConfig()
    half = SynthConfig(camera=CameraConfig(width=621, height=188))
    figures = {
        "runs": [measure(c, frames=args.frames, workers=args.workers) for c in (full, half)],
        "note": "With start-up of the workers; on a busy machine (load_at_start) trust the CPU seconds.",
    }
    print(write_record(args.out, figures, packages=("numpy", "datasets3d")))


if __name__ == "__main__":
    main()
