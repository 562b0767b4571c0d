"""Tests and timings on a CUDA device, without installing anything: `make gpu`.

Runs the tests marked `gpu`, then times the detector's training step and prediction in ImagePG's dimensions on
seeded random clouds, and writes results/gpu-<device>.json. Ends in minutes.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
REPEATS = 5


def run_tests() -> int:
    """Run the GPU tests; return pytest's exit status (5: none collected)."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", "-o", "addopts="]
    return subprocess.run(
        [*command, "--import-mode=importlib", "libs"], cwd=HERE.parent, check=False
    ).returncode


def make_batch(torch, *, frames: int, points: int):
    """Return a seeded batch of scattered points, cars and noise images."""
    from fusion_models.batch import Batch

    rng = np.random.default_rng(0)
    cloud = rng.uniform((0, -40, -2.5, 0), (70, 40, 0.5, 1), (frames, points, 4))
    index = np.repeat(np.arange(frames), points)[:, None]
    boxes = np.zeros((frames, 8, 7), np.float32)
    boxes[..., :2] = rng.uniform((5, -30), (60, 30), (frames, 8, 2))
    boxes[..., 2:] = (-1.0, 3.9, 1.6, 1.56, 0.3)
    camera = np.array([[610, -721, 0, 0], [173, 0, -721, 0], [1, 0, 0, 0]], np.float32)
    return Batch(
        frame_ids=tuple(f"{i:06d}" for i in range(frames)),
        points=torch.from_numpy(np.concatenate([index, cloud.reshape(-1, 4)], axis=1).astype(np.float32)),
        seeds=torch.arange(frames),
        images=torch.from_numpy(rng.standard_normal((frames, 3, 376, 1248)).astype(np.float32)),
        image_sizes=torch.tensor([[375, 1242]] * frames),
        image_from_points=torch.from_numpy(np.stack([camera] * frames)),
        boxes=torch.from_numpy(boxes),
        labels=torch.ones((frames, 8), dtype=torch.int64),
    )


def time_detector(torch) -> dict[str, float]:
    """Return median seconds of a training step and of a prediction, and the peak memory in GiB."""
    from fusion_models.imagepg import Detector, DetectorConfig

    model = Detector(DetectorConfig()).cuda()
    batch = make_batch(torch, frames=2, points=20_000).to("cuda")

    def step() -> None:
        model.train()
        model.zero_grad(set_to_none=True)
        model.loss(model(batch), batch).total.backward()

    def predict() -> None:
        model.eval().predict(batch)

    result = {}
    for name, call in (("train_step_s", step), ("predict_s", predict)):
        call()
        seconds = []
        for _ in range(REPEATS):
            torch.cuda.synchronize()
            started = time.perf_counter()
            call()
            torch.cuda.synchronize()
            seconds.append(time.perf_counter() - started)
        result[name] = float(np.median(seconds))
    result["peak_gib"] = torch.cuda.max_memory_allocated() / 2**30
    return result


def main() -> int:
    """Run tests and timings; write the result file; return the exit status."""
    import torch

    if not torch.cuda.is_available():
        print("make gpu: this python's torch sees no CUDA device; run it on a machine that has one")
        return 1
    status = run_tests()
    device = torch.cuda.get_device_name()
    content = {
        "device": device,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "command": "make gpu",
        "tests_exit_status": status,
        "detector_batch_2": time_detector(torch),
    }
    path = HERE / "results" / f"gpu-{device.lower().replace(' ', '-')}.json"
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(path.read_text())
    return 0 if status in (0, 5) else status


if __name__ == "__main__":
    sys.exit(main())
