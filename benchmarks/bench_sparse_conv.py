"""Sparse convolution on the CPU: kernel maps, layers, a whole backbone, as shares of the dense rate.

`python benchmarks/bench_sparse_conv.py` writes benchmarks/results/sparse_conv_cpu.json. Times are minima in
milliseconds. With one thread they are processor time, which other jobs on a shared machine disturb least;
with more they are wall-clock time. "dense" is torch.mm, measured around every block in the same way.
"""

import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
import torch
from sparseops import SparseTensor, sites_from_coords, sparse_conv, strided_map, submanifold_map
from sparseops.nn import SparseConv3d, SparseModule, SparseSequential, SubmanifoldConv3d
from torch import Tensor, nn

GRID = (41, 1600, 1408)
"""z y x cells of 0.1, 0.05 and 0.05 metres: 70.4 m ahead, 40 m to each side (KITTI, cars)."""
RESULT = Path(__file__).parent / "results" / "sparse_conv_cpu.json"


def street_frame(seed: int) -> tuple[Tensor, Tensor]:
    """Voxels [n, 4] b z y x, in the order of the scan, and features of a street seen by a 64-beam sensor."""
    rng = np.random.default_rng(seed)
    elevation = np.deg2rad(np.concatenate([np.linspace(2, -8.33, 32), np.linspace(-8.83, -24.33, 32)]))
    azimuth = np.deg2rad(np.arange(-40.5, 40.5, 0.24))
    up, side = (a.ravel() for a in np.meshgrid(elevation, azimuth, indexing="ij"))
    ray = np.stack([np.cos(up) * np.cos(side), np.cos(up) * np.sin(side), np.sin(up)], axis=1)
    ground = np.where(ray[:, 2] < 0, -1.73 / np.minimum(ray[:, 2], -1e-9), np.inf)
    walls = rng.uniform(12, 20, 2)
    wall = np.where(ray[:, 1] > 0, walls[0], walls[1]) / np.maximum(np.abs(ray[:, 1]), 1e-9)
    distance = np.minimum(ground, wall)
    for _ in range(30):  # cars, poles and people, as upright cylinders
        centre, radius = (rng.uniform(6, 60), rng.uniform(-11, 11)), rng.uniform(0.2, 1.8)
        along = ray[:, 0] * centre[0] + ray[:, 1] * centre[1]
        flat = ray[:, 0] ** 2 + ray[:, 1] ** 2
        inner = along**2 - flat * (centre[0] ** 2 + centre[1] ** 2 - radius**2)
        hit = (along - np.sqrt(np.maximum(inner, 0))) / flat
        height = hit * ray[:, 2]
        distance = np.where(
            (inner > 0) & (hit > 0) & (height < 0.1) & (height > -1.73), np.minimum(distance, hit), distance
        )
    keep = (distance < 75) & (rng.random(len(ray)) > 0.08)
    points = ray[keep] * (distance[keep] + rng.normal(0, 0.015, keep.sum()))[:, None]
    zyx = np.floor((points - [0, -40, -3]) / [0.05, 0.05, 0.1])[:, ::-1].astype(np.int64)
    zyx = zyx[((zyx >= 0) & (zyx < [40, *GRID[1:]])).all(1)]
    _, first = np.unique(zyx, axis=0, return_index=True)
    zyx = zyx[np.sort(first)]
    coords = np.concatenate([np.zeros((len(zyx), 1)), zyx], axis=1).astype(np.int32)
    return torch.from_numpy(coords), torch.from_numpy(rng.normal(size=(len(zyx), 4)).astype(np.float32))


class Residual(SparseModule):
    """Two submanifold convolutions and a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = SparseSequential(
            SubmanifoldConv3d(channels, channels, 3, bias=False),
            nn.BatchNorm1d(channels),
            nn.ReLU(),
            SubmanifoldConv3d(channels, channels, 3, bias=False),
            nn.BatchNorm1d(channels),
        )

    def forward(self, tensor: SparseTensor) -> SparseTensor:
        return tensor.replace(torch.relu(self.body(tensor).features + tensor.features))


def backbone() -> SparseSequential:
    """Stem 4-16, two residual blocks at each of 16, 32, 64, 128 channels, three halvings, a flat end."""
    layers: list[nn.Module] = [SubmanifoldConv3d(4, 16, 3, bias=False), nn.BatchNorm1d(16), nn.ReLU()]
    layers += [Residual(16), Residual(16)]
    for cin, cout in ((16, 32), (32, 64), (64, 128)):
        layers += [
            SparseConv3d(cin, cout, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm1d(cout),
            nn.ReLU(),
        ]
        layers += [Residual(cout), Residual(cout)]
    layers += [
        SparseConv3d(128, 128, (3, 1, 1), stride=(2, 1, 1), bias=False),
        nn.BatchNorm1d(128),
        nn.ReLU(),
    ]
    return SparseSequential(*layers)


def fastest_ms(run: Callable[[], Any], repeats: int = 12) -> float:
    """Minimum after one run to warm up."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    run()
    times = []
    for _ in range(repeats):
        start = clock()
        run()
        times.append(clock() - start)
    return min(times) * 1e3


def dense_gflops(size: int = 1024) -> float:
    """Rate of torch.mm in float32."""
    a, b = torch.randn(size, size), torch.randn(size, size)
    return 2 * size**3 / fastest_ms(lambda: a @ b, 5) / 1e6


def layer_rows(coords: Tensor) -> list[dict[str, Any]]:
    """Maps, and warm convolutions forward and backward, at two densities."""
    sites = sites_from_coords(coords, spatial_shape=GRID, batch_size=1)
    halved = strided_map(sites, kernel=3, stride=2, padding=1)
    rows: list[dict[str, Any]] = [
        {
            "what": "sort and check the sites",
            "ms": fastest_ms(lambda: sites_from_coords(coords, spatial_shape=GRID, batch_size=1)),
        },
        {"what": "submanifold map 3^3", "ms": fastest_ms(lambda: submanifold_map(sites, kernel=3))},
        {
            "what": "strided map 3^3 s2",
            "ms": fastest_ms(lambda: strided_map(sites, kernel=3, stride=2, padding=1)),
        },
    ]
    for row in rows:
        row["us_per_voxel"] = round(row["ms"] * 1e3 / len(sites), 4)
    for stage, at in (("stride 1", sites), ("stride 2", halved.sites_out)):
        plan = submanifold_map(at, kernel=3)
        for channels in (16, 32, 64, 128):
            dense = dense_gflops()
            features = torch.randn(len(at), channels, requires_grad=True)
            weight = torch.randn(3, 3, 3, channels, channels, requires_grad=True)
            upstream = torch.randn(len(at), channels)
            gflop = 2e-9 * len(plan.pairs_in) * channels**2

            def forward(features=features, weight=weight, plan=plan) -> Tensor:
                return sparse_conv(features, weight, kernel_map=plan)

            with torch.no_grad():
                ms = fastest_ms(forward)
            both = fastest_ms(lambda forward=forward, upstream=upstream: forward().backward(upstream), 6)
            dense = max(dense, dense_gflops())
            name = f"submanifold 3^3 {stage} C{channels}"
            rows.append(_rate(f"{name} forward", ms, gflop, dense))
            rows.append(_rate(f"{name} forward + backward", both, 3 * gflop, dense))
    return rows


def _rate(what: str, ms: float, gflop: float, dense: float) -> dict[str, Any]:
    rate = gflop / ms * 1e3
    return {
        "what": what,
        "ms": ms,
        "gflops": round(rate, 1),
        "dense_gflops": round(dense, 1),
        "share": round(rate / dense, 2),
    }


def backbone_rows(coords: Tensor, features: Tensor) -> list[dict[str, Any]]:
    """The whole backbone on one frame, all maps made anew in every run."""
    torch.manual_seed(0)
    network, dense = backbone(), dense_gflops()

    def forward() -> SparseTensor:
        return network(SparseTensor(features, coords, GRID, 1))

    def train() -> None:
        network.zero_grad()
        forward().features.square().mean().backward()

    out = forward()
    gflop = sum(
        2e-9 * _pairs(out, layer) * layer.cin * layer.cout
        for layer in network.modules()
        if hasattr(layer, "cin")
    )
    both = fastest_ms(train, 4)
    network.eval()
    with torch.no_grad():
        ms = fastest_ms(forward, 6)
    dense = max(dense, dense_gflops())
    return [
        _rate("backbone forward, evaluation, maps included", ms, gflop, dense),
        _rate("backbone forward + backward, training, maps included", both, 3 * gflop, dense),
    ]


def _pairs(out: SparseTensor, layer: nn.Module) -> int:
    """Pairs of the map that a layer used: the one with its window and, by its width, its resolution."""
    stage = {4: 0, 16: 0, 32: 1, 64: 2, 128: 3}[layer.cin]
    plans = [
        plan
        for key, plan in out.cache.maps.items()
        if key.window.kernel == layer.window.kernel and plan.mirrored == isinstance(layer, SubmanifoldConv3d)
    ]
    return len(plans[stage if plans[0].window.kernel == (3, 3, 3) else 0].pairs_in)


def main() -> None:
    """Measure with one thread and with all, and write the result."""
    coords, features = street_frame(0)
    most = torch.get_num_threads()
    report: dict[str, Any] = {
        "machine": {"cpu": _cpu_name(), "threads": most, "system": platform.platform()},
        "load_at_start": os.getloadavg(),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numba": numba.__version__,
        },
        "voxels": len(coords),
        "runs": {},
    }
    for threads in sorted({1, most}):
        if threads > 1 and os.getloadavg()[0] > most + 0.5:
            print(
                f"{threads} threads left out: other jobs keep the machine busy, wall-clock times mean nothing"
            )
            continue
        torch.set_num_threads(threads)
        rows = layer_rows(coords) + backbone_rows(coords, features)
        report["runs"][f"{threads} threads"] = rows
        print(f"{threads} threads, {len(coords)} voxels, threading layer {numba.threading_layer()}")
        for row in rows:
            row["ms"] = round(row["ms"], 3)
            print(
                "  ",
                "  ".join(
                    f"{key} {value}" if key != "what" else f"{value:55s}" for key, value in row.items()
                ),
            )
    report["versions"]["threading_layer"] = numba.threading_layer()
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(report, indent=1) + "\n")


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    names = (
        [
            line.split(":")[1].strip()
            for line in info.read_text().splitlines()
            if line.startswith("model name")
        ]
        if info.exists()
        else []
    )
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    main()
