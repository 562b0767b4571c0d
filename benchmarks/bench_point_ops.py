"""Time the point operators of sparseops on the CPU against their plain PyTorch references, in one process.

    python benchmarks/bench_point_ops.py --out benchmarks/results/point_ops_cpu.json

Figures are minima over repeats: processor milliseconds with one thread for both sides, which a busy machine
disturbs least. With --threads N, on an idle machine, wall milliseconds of ours with N threads as well. Inputs
are seeded and shaped like those of a detector on KITTI.
"""

import argparse
import json
import math
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numba
import numpy as np
import sparseops as so
import torch
from torch import Tensor


def cpu_name() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next(
        (line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine()
    )


class Case(NamedTuple):
    name: str
    run: Callable[[], object]
    compare: bool = True
    """False where the reference takes too long or too much memory."""


def scan(count: int = 19_300) -> Tensor:
    """Points of 64 beams in an 81 degree view: batch column, x, y, z, intensity."""
    azimuth = (torch.rand(count) - 0.5) * math.radians(81)
    elevation = torch.randint(0, 64, (count,)) / 64 * math.radians(26.8) - math.radians(24.8)
    reach = torch.minimum(5 + 60 * torch.rand(count) ** 2, 1.73 / (-elevation).clamp(min=0.025).sin())
    x, y = reach * elevation.cos() * azimuth.cos(), reach * elevation.cos() * azimuth.sin()
    return torch.stack([torch.zeros(count), x, y, reach * elevation.sin(), torch.rand(count)], dim=1)


def proposals(count: int) -> tuple[Tensor, Tensor]:
    """Car-like boxes in clusters, as an anchor head returns them, and their scores."""
    centres = torch.rand(300, 2) * torch.tensor([70.0, 80.0])
    boxes = torch.zeros(count, 7)
    boxes[:, :2] = centres[torch.randint(300, (count,))] + torch.randn(count, 2) * 0.5
    boxes[:, 3:6] = torch.tensor([3.9, 1.6, 1.56]) * (1 + 0.1 * torch.randn(count, 3))
    boxes[:, 6] = torch.randn(count) * 0.2
    return boxes, torch.rand(count)


def discrete_cases() -> list[Case]:
    grid = {"voxel_size": (0.05, 0.05, 0.1), "bounds": (0.0, -40.0, -3.0, 70.4, 40.0, 1.0), "batch_size": 1}
    points = scan()
    xyz = points[:, 1:4].contiguous()
    boxes, scores = proposals(9000)
    voxels = so.voxelize_dynamic(points, **grid)
    site_xyz = (voxels.coords_bzyx[:, [3, 2, 1]].float() + 0.5) * torch.tensor([0.05, 0.05, 0.1])
    at = torch.randint(len(site_xyz), (128 * 216,))
    query_xyz = site_xyz[at] + torch.randn(len(at), 3) * 0.2
    query_cells = voxels.coords_bzyx[at]
    clouds = torch.randn(256, 216, 3)
    reach = {"ranges": (4, 4, 4), "radius": 0.4, "samples": 16}

    def dynamic_mean() -> None:
        found = so.voxelize_dynamic(points, **grid)
        so.scatter_mean(points[:, 1:], found.voxel_of_point, count=len(found.coords_bzyx))

    return [
        Case(
            "voxelize_batch 19.3k, 5 points",
            lambda: so.voxelize_batch(points, **grid, max_points=5, max_voxels=40_000),
        ),
        Case("voxelize_dynamic + scatter_mean 19.3k", dynamic_mean),
        Case("nms_bev 9000, 0.8", lambda: so.nms_bev(boxes, scores, threshold=0.8), compare=False),
        Case("nms_bev 4096, 0.8", lambda: so.nms_bev(boxes, scores, threshold=0.8, pre_max=4096)),
        Case("nms_bev 4096, 0.1", lambda: so.nms_bev(boxes, scores, threshold=0.1, pre_max=4096)),
        Case("iou_3d 512 x 64", lambda: so.iou_3d(boxes[:512], boxes[512:576])),
        Case("points_in_boxes 19.3k x 100", lambda: so.points_in_boxes(xyz, boxes[:100])),
        Case(
            "voxel_query 27.6k in 15k, 9x9x9, 16",
            lambda: so.voxel_query(query_cells, query_xyz, voxels.coords_bzyx, site_xyz, **reach),
        ),
        Case(
            "ball_query 2048 in 19.3k, r 0.8, 16",
            lambda: so.ball_query(xyz[None, :2048], xyz[None], radius=0.8, samples=16),
        ),
        Case(
            "ball_query 256 x (64 in 216), r 0.4, 16",
            lambda: so.ball_query(clouds[:, :64], clouds, radius=0.4, samples=16),
        ),
        Case(
            "furthest_point_sample 16,384 -> 2,048",
            lambda: so.furthest_point_sample(xyz[None, :16_384], 2048),
        ),
        Case("furthest_point_sample 256 x (216 -> 64)", lambda: so.furthest_point_sample(clouds, 64)),
    ]


def differentiable_cases() -> list[Case]:
    features = torch.randn(256, 64, 216, requires_grad=True)
    idx = torch.randint(0, 216, (256, 64, 16))
    rows, index = torch.randn(111_000, 32, requires_grad=True), torch.randint(0, 40_000, (111_000,))
    cases = [
        Case("group 256 x 64 x (216 -> 64 x 16)", lambda: so.group(features.detach(), idx)),
        Case("group forward + backward", lambda: so.group(features, idx).sum().backward()),
        Case("scatter_mean 111k x 32 -> 40k", lambda: so.scatter_mean(rows.detach(), index, count=40_000)),
        Case(
            "scatter_max forward + backward",
            lambda: so.scatter_max(rows, index, count=40_000)[0].sum().backward(),
        ),
    ]
    levels = [(48, 160), (24, 80), (12, 40), (6, 20)]
    for queries, channels, shapes in ((10_200, 16, levels), (900, 32, levels), (6000, 16, [(48, 160)])):
        heads = 4 if len(shapes) == 1 else 8
        value = torch.randn(1, sum(h * w for h, w in shapes), heads, channels)
        locations = torch.rand(1, queries, heads, len(shapes), 4, 2)
        weights = torch.randn(1, queries, heads, len(shapes), 4).softmax(-1)
        leaves = [leaf.requires_grad_() for leaf in (value, locations, weights)]

        def forward(leaves: list[Tensor] = leaves, shapes: list[tuple[int, int]] = shapes) -> Tensor:
            return so.ms_deform_attn(leaves[0], shapes, leaves[1], leaves[2])

        def both(forward: Callable[[], Tensor] = forward) -> None:
            forward().sum().backward()

        name = f"ms_deform_attn Q {queries}, L {len(shapes)}, H {heads}, D {channels}, P 4"
        cases += [
            Case(f"{name}: forward", torch.no_grad()(forward)),
            Case(f"{name}: forward + backward", both),
        ]
    return cases


def fastest(run: Callable[[], object], clock: Callable[[], float], *, seconds: float) -> float:
    """Return the least milliseconds of repeated runs within a time budget, after one warm-up."""
    run()
    best, end = math.inf, time.perf_counter() + seconds
    while time.perf_counter() < end or best == math.inf:
        start = clock()
        run()
        best = min(best, clock() - start)
    return best * 1e3


def measure(case: Case, threads: int, seconds: float) -> dict[str, object]:
    """Time one case on both back ends."""
    row: dict[str, object] = {"case": case.name}
    torch.set_num_threads(1)
    ours = fastest(case.run, time.process_time, seconds=seconds)
    row["cpu_ms_1_thread"] = round(ours, 3)
    if case.compare:
        os.environ["SPARSEOPS_BACKEND"] = "reference"
        reference = fastest(case.run, time.process_time, seconds=seconds)
        del os.environ["SPARSEOPS_BACKEND"]
        row["reference_cpu_ms_1_thread"] = round(reference, 3)
        row["times_faster"] = round(reference / ours, 1)
    if threads > 1:
        torch.set_num_threads(threads)
        row[f"wall_ms_{threads}_threads"] = round(fastest(case.run, time.perf_counter, seconds=seconds), 3)
    return row


def main() -> None:
    """Run all cases, print a table and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seconds", type=float, default=0.5, help="time budget of each measurement")
    parser.add_argument("--threads", type=int, default=1, help="more than 1 adds wall times of ours")
    options = parser.parse_args()
    torch.manual_seed(0)
    results = []
    for case in [*discrete_cases(), *differentiable_cases()]:
        results.append(measure(case, options.threads, options.seconds))
        print(results[-1], flush=True)
    machine = {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "system": platform.system(),
    }
    versions = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numba": numba.__version__,
        "numpy": np.__version__,
    }
    if options.out:
        options.out.write_text(
            json.dumps({"machine": machine, "versions": versions, "results": results}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
