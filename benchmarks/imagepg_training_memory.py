"""Resident memory of a long ImagePG training on the CPU, over its steps: does anything grow?

    python benchmarks/imagepg_training_memory.py --steps 1200

writes `benchmarks/results/imagepg_training_memory.json`. It is `imagepg fit` with the configuration of the
demo, frames read in the same process, looked at from outside: once as it is and once with Python's cycle
collector off. Without the collector nothing but reference counts frees a tensor, so what grows then and not
otherwise is held by a reference cycle. The sizes of clouds differ from step to step, as in any training. Two
runs of a few minutes each.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from datasets3d.synth import write_kitti
from fusion3d_appkit.record import write_record

HERE = Path(__file__).parent
RESULTS = HERE / "results/imagepg_training_memory.json"
CONFIG = HERE.parent / "apps/imagepg/configs/demo.yaml"
FRAMES, SAMPLES = 40, 24
RUNS = {
    "collector on": "import sys; from imagepg.__main__ import main; sys.exit(main())",
    "collector off": "import gc, sys; gc.disable(); from imagepg.__main__ import main; sys.exit(main())",
}


def resident_mb(process: int) -> float:
    """Return the resident memory of a process."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


def steps_done(run: Path) -> int:
    """Return the last step in the log of a run, which has a line per step."""
    log = run / "metrics.jsonl"
    return log.read_text().count("train/loss") if log.exists() else 0


def watch(program: str, root: Path, run: Path, steps: int) -> dict[str, list[float]]:
    """Train, and return steps, seconds and memory at equal distances."""
    words = [
        "fit",
        *(f"--config={CONFIG}", f"--data.root={root}", f"--trainer.default_root_dir={run}"),
        *("--data.workers=0", "--trainer.max_epochs=-1", f"--trainer.max_steps={steps}"),
        *("--trainer.log_every_n_steps=1", "--trainer.limit_val_batches=0"),
    ]
    started = time.perf_counter()
    seen: dict[str, list[float]] = {"step": [], "seconds": [], "resident_mb": []}
    with (run.parent / f"{run.name}.log").open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", program, *words], stdout=output, stderr=subprocess.STDOUT
        )
        while process.poll() is None:
            step = steps_done(run)
            if step >= len(seen["step"]) * steps / SAMPLES and step:
                seen["step"].append(step)
                seen["seconds"].append(round(time.perf_counter() - started, 1))
                seen["resident_mb"].append(round(resident_mb(process.pid), 1))
                print(f"{run.name}: step {step}, {seen['resident_mb'][-1]:.0f} MB", flush=True)
            time.sleep(0.2)
    if process.returncode:
        raise SystemExit((run.parent / f"{run.name}.log").read_text()[-2000:])
    return seen


def main() -> None:
    """Measure and write the record."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--steps", type=int, default=1200, help="steps of each run (default 1200)")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = write_kitti(Path(folder) / "kitti", frames=FRAMES, seed=0)
        runs = {
            name: watch(program, root, Path(folder) / name.replace(" ", "_"), chosen.steps)
            for name, program in RUNS.items()
        }
    figures = {"steps": chosen.steps, "threads": os.environ.get("OMP_NUM_THREADS"), "runs": runs}
    print(write_record(RESULTS, figures, packages=("torch", "fusion_models", "sparseops", "numba")))


if __name__ == "__main__":
    main()
