"""Tests and timings on a CUDA device, without installing anything: `make gpu`.

Runs the tests marked `gpu` or `triton`, then times sparse convolutions, a backbone, the point operators and
the detector, and writes results/gpu-<device>.json after every section. It ends within ten minutes: what the
time does not suffice for is left out, and what cannot be imported is left out too; the result names both.

Times are medians in milliseconds from call to completion, as a caller sees them; `kernel_ms` is the device's
share, from replays of a captured graph. Rates are shares of torch.mm in the same type. The first run on a
machine also tunes the kernels, which takes most of the time.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from fusion3d_appkit import record
from fusion3d_appkit.files import write_text

HERE = Path(__file__).parent
ROOT = HERE.parent
STARTED = time.monotonic()
SECONDS = 560
TEST_SECONDS = 270
FRAMES = 4
Row = dict[str, Any]


def time_left() -> float:
    return SECONDS - (time.monotonic() - STARTED)


def run_tests(marks: str, seconds: float) -> Row:
    """Run the tests with these marks; return pytest's exit status (5: none collected) and its last line."""
    files = [
        str(path.relative_to(ROOT))
        for path in sorted(ROOT.glob("*/*/tests/**/test_*.py"))
        if any(word in path.read_text(encoding="utf-8") for word in ("mark.gpu", "mark.triton"))
    ]
    command = [sys.executable, "-m", "pytest", "-q", "-m", marks, "-p", "no:cacheprovider"]
    # Without the plug-ins of the development environment, and without its strictness about warnings.
    command += ["-o", "addopts=", "-o", "filterwarnings=", "--import-mode=importlib"]
    command += ["--continue-on-collection-errors", "--tb=short", *files]
    # Small inputs of tests are not worth tuning for.
    environment = {**os.environ, "SPARSEOPS_AUTOTUNE": "0"}
    environment.pop("TRITON_INTERPRET", None)
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, timeout=seconds, check=False, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        output = error.stdout or b""
        text = output.decode(errors="replace") if isinstance(output, bytes) else output
        print(text[-4000:])
        return {"status": "stopped", "after_s": round(seconds), "output": text[-1000:]}
    print(done.stdout[-8000:])
    lines = done.stdout.splitlines()
    failures = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    return {"status": done.returncode, "summary": lines[-1:], "failures": failures[:40]}


def median_ms(torch, call: Callable[[], object], *, seconds: float = 0.4) -> float:
    """Median of repeated calls, each awaited, after three to warm up."""
    for _ in range(3):
        call()
    torch.cuda.synchronize()
    times, end = [], time.perf_counter() + seconds
    while len(times) < 5 or (len(times) < 50 and time.perf_counter() < end):
        start = time.perf_counter()
        call()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return round(statistics.median(times) * 1e3, 4)


def kernel_ms(torch, call: Callable[[], object], *, calls: int = 10) -> float:
    """Time of one call on the device alone: that of a captured graph of several."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(calls):
            call()
    return round(median_ms(torch, graph.replay, seconds=0.1) / calls, 4)


@contextlib.contextmanager
def setting(name: str, value: str) -> Iterator[None]:
    """Set an environment variable for a while."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


TYPES = ("float16", "float32", "tf32", "bfloat16")


def use_type(torch, name: str) -> Any:
    """Allow TF32 or not, and return the type of the tensors."""
    torch.backends.cuda.matmul.allow_tf32 = name == "tf32"
    return torch.float32 if name == "tf32" else getattr(torch, name)


def dense_rates(torch) -> Row:
    """GFLOP/s of torch.mm on square matrices, by type."""
    rates = {}
    for name in TYPES:
        dtype = use_type(torch, name)
        size = 8192 if dtype.itemsize == 2 else 4096
        a, b = (torch.randn(size, size, device="cuda", dtype=dtype) for _ in range(2))
        rates[name] = round(2 * size**3 / median_ms(torch, lambda a=a, b=b: a @ b) / 1e6)
    use_type(torch, "float32")
    return rates


def street(torch) -> Any:
    """Voxel coordinates and features of some frames, in one batch on the device."""
    from sparse.clouds import batch, street_scan

    frames = batch([street_scan(seed) for seed in range(FRAMES)])
    return torch.from_numpy(frames.coords_bzyx).cuda(), torch.from_numpy(frames.features).cuda()


def time_maps(torch) -> list[Row]:
    """Sites and kernel maps from nothing, with everything that forward and backward derive from them."""
    from sparse.clouds import GRID
    from sparseops import sites_from_coords, strided_map, submanifold_map

    coords, _ = street(torch)
    sites = sites_from_coords(coords, spatial_shape=GRID, batch_size=FRAMES)

    def derive(plan: Any) -> None:
        _ = plan.table.schedule, plan.table.pairs_by_offset, plan.transposed.table.schedule

    calls = {
        "sort and check the sites": lambda: sites_from_coords(coords, spatial_shape=GRID, batch_size=FRAMES),
        "submanifold map 3^3": lambda: submanifold_map(sites, kernel_size=3).table,
        "submanifold map 3^3 and all for training": lambda: derive(submanifold_map(sites, kernel_size=3)),
        "strided map 3^3 s2": lambda: strided_map(sites, kernel_size=3, stride=2, padding=1).table,
        "strided map 3^3 s2 and all for training": lambda: derive(
            strided_map(sites, kernel_size=3, stride=2, padding=1)
        ),
    }
    return [
        {"what": name, "voxels": len(sites), "ms": median_ms(torch, call)} for name, call in calls.items()
    ]


def time_layers(torch, rates: Row) -> list[Row]:
    """Single layers along known maps: every type and width, at three places of a network."""
    from sparse.clouds import GRID
    from sparseops import sites_from_coords, strided_map, submanifold_map

    coords, _ = street(torch)
    sites = sites_from_coords(coords, spatial_shape=GRID, batch_size=FRAMES)
    halved = strided_map(sites, kernel_size=3, stride=2, padding=1)
    places = {
        "submanifold 3^3 stride 2": submanifold_map(halved.sites_out, kernel_size=3),
        "submanifold 3^3 stride 1": submanifold_map(sites, kernel_size=3),
        "strided 3^3 s2": halved,
    }
    widths = {
        "float16": (64, 128, 32, 16),
        "float32": (64, 16, 128, 32),
        "tf32": (64, 128),
        "bfloat16": (64,),
    }
    rows = []
    for kind in TYPES:
        dtype = use_type(torch, kind)
        for channels in widths[kind]:
            for place, plan in places.items():
                if time_left() < 150:
                    rows.append({"what": place, "type": kind, "channels": channels, "left_out": "no time"})
                    continue
                row: Row = {"what": place, "type": kind, "channels": channels}
                rows.append(row)
                with noting(row):
                    row |= layer_row(torch, plan, dtype, channels, rates[kind])
                print(row, flush=True)
    use_type(torch, "float32")
    return rows


def layer_row(torch, plan: Any, dtype: Any, channels: int, dense: float) -> Row:
    from sparseops import sparse_conv

    features = torch.randn(len(plan.sites_in), channels, device="cuda", dtype=dtype, requires_grad=True)
    shape = (*plan.window.kernel_size, channels, channels)
    weight = torch.randn(shape, device="cuda", dtype=dtype, requires_grad=True)
    upstream = torch.randn(len(plan.sites_out), channels, device="cuda", dtype=dtype)
    pairs = int(plan.pairs_per_offset.sum())
    gflop = 2e-9 * pairs * channels**2

    def forward() -> Any:
        return sparse_conv(features, weight, kernel_map=plan)

    def both() -> None:
        torch.autograd.grad(forward(), (features, weight), upstream)

    with torch.no_grad():
        row = {"rows": len(upstream), "pairs": pairs, "forward_ms": median_ms(torch, forward)}
        row["forward_kernel_ms"] = kernel_ms(torch, forward)
        with setting("SPARSEOPS_BACKEND", "reference"):
            row["forward_reference_ms"] = median_ms(torch, forward, seconds=0.1)
    row["forward_backward_ms"] = median_ms(torch, both)
    rate = gflop / row["forward_kernel_ms"] * 1e3
    row |= {"gflops": round(rate), "share_of_dense": round(rate / dense, 3)}
    return row | spconv_row(torch, plan, features.detach(), upstream)


def spconv_row(torch, plan: Any, features: Any, upstream: Any) -> Row:
    """The same layer in spconv, where it is installed."""
    try:
        import spconv.pytorch as spconv
    except ImportError:
        return {}
    channels, dtype = features.shape[1], features.dtype
    if plan.mirrored:
        layer = spconv.SubMConv3d(channels, channels, 3, bias=False, indice_key="map")
    else:
        layer = spconv.SparseConv3d(channels, channels, 3, 2, 1, bias=False, indice_key="map")
    layer = layer.cuda().to(dtype)
    sites = plan.sites_in
    given = features.requires_grad_()
    tensor = spconv.SparseConvTensor(given, sites.coords, list(sites.spatial_shape), sites.batch_size)

    def forward() -> Any:
        return layer(tensor).features

    def both() -> None:
        torch.autograd.grad(forward(), (given, layer.weight), upstream)

    try:
        with torch.no_grad():
            row = {"spconv_forward_ms": median_ms(torch, forward)}
        return row | {"spconv_forward_backward_ms": median_ms(torch, both)}
    except (RuntimeError, AssertionError) as error:
        return {"spconv": f"failed: {error}"[:200]}


def time_backbone(torch) -> list[Row]:
    """Four resolutions with residual blocks; maps made anew in every run, or known."""
    from sparse.backbone import backbone
    from sparse.clouds import GRID
    from sparseops import SparseTensor

    coords, features = street(torch)
    network = backbone().cuda()
    rows = []
    for kind in ("float16", "float32"):
        if time_left() < 200:
            rows.append({"what": "backbone", "type": kind, "left_out": "no time"})
            continue
        known = SparseTensor(features, coords, GRID, FRAMES)
        half = kind == "float16"

        def forward(tensor: Any, half: bool = half) -> Any:
            with torch.autocast("cuda", dtype=torch.float16, enabled=half):
                return network(tensor).features

        def train(tensor: Any, forward: Callable[..., Any] = forward) -> None:
            network.zero_grad(set_to_none=True)
            forward(tensor).float().square().mean().backward()

        def fresh() -> Any:
            return SparseTensor(features, coords, GRID, FRAMES)

        torch.cuda.reset_peak_memory_stats()
        row: Row = {"what": "backbone", "type": kind, "frames": FRAMES, "voxels": len(coords)}
        network.train()
        row["train_maps_known_ms"] = median_ms(torch, lambda train=train, known=known: train(known))
        row["train_maps_made_ms"] = median_ms(torch, lambda train=train, fresh=fresh: train(fresh()))
        network.eval()
        with torch.no_grad():
            row["predict_maps_known_ms"] = median_ms(torch, lambda f=forward, known=known: f(known))
            row["predict_maps_made_ms"] = median_ms(torch, lambda f=forward, fresh=fresh: f(fresh()))
        row["peak_gib"] = round(torch.cuda.max_memory_allocated() / 2**30, 3)
        rows.append(row)
        print(row, flush=True)
    return rows


def time_points(torch) -> list[Row]:
    """The point operators with the inputs of their CPU benchmark, against the PyTorch reference."""
    from sparse.points import SLOW_REFERENCE, cases

    rows = []
    for name, make in cases("ours", quick=False).items():
        row: Row = {"what": name}
        rows.append(row)
        if time_left() < 60:
            row["left_out"] = "no time"
            continue
        with noting(row):
            with torch.device("cuda"):
                case = make()
            row["ms"] = median_ms(torch, case.run, seconds=0.3)
            if name not in SLOW_REFERENCE:
                with setting("SPARSEOPS_BACKEND", "reference"):
                    row["reference_ms"] = median_ms(torch, case.run, seconds=0.3)
        print(row, flush=True)
    return rows


def make_batch(torch, *, frames: int, points: int):
    """Return a seeded batch of scattered points, cars and noise images."""
    from fusion_models.detection.batch import Batch

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


def time_detector(torch) -> Row:
    """ImagePG's detector: a training step, a prediction, the peak memory."""
    from fusion_models.imagepg import Detector, DetectorConfig

    model = Detector(DetectorConfig()).cuda()
    batch = make_batch(torch, frames=2, points=20_000).to("cuda")

    def step() -> None:
        model.train()
        model.zero_grad(set_to_none=True)
        model.loss(model(batch), batch).total.backward()

    row = {"frames": 2, "train_step_ms": median_ms(torch, step, seconds=5)}
    row["predict_ms"] = median_ms(torch, lambda: model.eval().predict(batch), seconds=5)
    return row | {"peak_gib": round(torch.cuda.max_memory_allocated() / 2**30, 3)}


@contextlib.contextmanager
def noting(row: Row) -> Iterator[None]:
    """Write an error into the row instead of ending the run."""
    try:
        yield
    except Exception as error:
        row["failed"] = f"{type(error).__name__}: {error}"[:500]
        print("failed:", row["failed"], flush=True)


def main() -> int:
    """Run tests and timings; write the result file; return the exit status."""
    import torch

    if not torch.cuda.is_available():
        print("make gpu: this python's torch sees no CUDA device; run it on a machine that has one")
        return 1
    sys.path.insert(0, str(HERE))
    device = torch.cuda.get_device_name()
    path = HERE / "results" / f"gpu-{device.lower().replace(' ', '-')}.json"
    content: Row = {
        "device": device,
        "command": "make gpu",
        "machine": record.machine(),
        "versions": record.versions(("torch", "triton", "numpy", "numba")),
    }
    sections: dict[str, Callable[[], object]] = {
        "tests": lambda: run_tests("(gpu or triton) and not slow", TEST_SECONDS),
        "dense_gflops": lambda: dense_rates(torch),
        "maps": lambda: time_maps(torch),
        "backbone": lambda: time_backbone(torch),
        "layers": lambda: time_layers(torch, content["dense_gflops"]),
        "points": lambda: time_points(torch),
        "detector": lambda: time_detector(torch),
        "slow_tests": lambda: run_tests("(gpu or triton) and slow", time_left() - 10),
    }
    for name, run in sections.items():
        print(f"== {name}, {time_left():.0f} s left", flush=True)
        content[name] = {}
        if time_left() < 30:
            content[name] = {"left_out": "no time"}
        else:
            with noting(content[name]):
                content[name] = run()
        content["seconds"] = round(time.monotonic() - STARTED)
        write_text(path, json.dumps(content, indent=1) + "\n")
    print(path.read_text(encoding="utf-8"))
    statuses = [content[name].get("status", "not run") for name in ("tests", "slow_tests")]
    print("status of the tests and of the slow ones:", *statuses)
    return 0 if all(status in (0, 5, "not run", "stopped") for status in statuses) else 1


if __name__ == "__main__":
    sys.exit(main())
