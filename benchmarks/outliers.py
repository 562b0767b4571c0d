"""Time the neighbour searches on a scan with and without one stray return a thousand kilometres away.

Run `python benchmarks/outliers.py`. A stray return (a multipath echo, a wrong decoding) must not decide how
large the cells of a search are, nor how deep its tree. Searches take the same 120 000 points and an eighth
of them as queries, in alternation: as they are, and with one point moved far out along each axis in turn. The
ratio is that of processor times, the largest of the axes.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from fusion3d_appkit.record import write_record
from sparseops import ball_query, knn, knn_stacked, three_nn, voxel_query
from torch import Tensor

RESULT = Path(__file__).parent / "results" / "outliers.json"
VOXEL_M = (0.1, 0.1, 0.2)
ROWS = 64


def scan(points: int) -> Tensor:
    """Return x y z in metres of a turning sensor with 64 rows over flat ground with walls around, [n, 3]."""
    draw = torch.Generator().manual_seed(1)
    columns = points // ROWS
    down = torch.linspace(-2.0, 24.8, ROWS).deg2rad()[:, None]
    turn = torch.arange(columns) / columns * 2 * torch.pi
    wall_m = 20 + 15 * (3 * turn).sin() + 10 * (7 * turn).cos().abs()
    range_m = torch.minimum(1.7 / down.sin().clamp(min=1e-3), wall_m / down.cos())
    range_m = range_m + 0.02 * torch.randn(range_m.shape, generator=draw)
    flat = range_m * down.cos()
    return torch.stack([flat * turn.cos(), flat * turn.sin(), -range_m * down.sin()], dim=-1).reshape(-1, 3)


def cells(points: Tensor) -> Tensor:
    """Return the cell of every point, b z y x."""
    cell = (points / torch.tensor(VOXEL_M)).floor().int().flip(1)
    return torch.cat([torch.zeros(len(cell), 1, dtype=torch.int32), cell], dim=1)


def near_voxels(points: Tensor, queries: Tensor) -> Any:
    limits = {"max_range": (4, 4, 4), "radius": 0.8, "num_samples": 16}
    return voxel_query(cells(queries), queries, cells(points), points, **limits)


def counts(points: Tensor) -> Tensor:
    return torch.tensor([len(points) // 2, len(points) - len(points) // 2])


SEARCHES: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "knn 16": lambda points, queries: knn(queries[None], points[None], k=16),
    "knn_stacked 16, two samples": lambda points, queries: knn_stacked(
        queries, counts(queries), points, counts(points), k=16
    ),
    "three_nn": lambda points, queries: three_nn(queries[None], points[None]),
    "ball_query 16, r 0.8 m": lambda points, queries: ball_query(
        queries[None], points[None], radius=0.8, num_samples=16
    ),
    "voxel_query 16, 9 x 9 x 9, r 0.8 m": near_voxels,
}


def seconds(call: Callable[..., Any], *arguments: Any) -> float:
    """Return the processor time of one call: what it would take if nothing else ran."""
    start = time.process_time()
    call(*arguments)
    return time.process_time() - start


def compare(
    search: Callable[[Tensor, Tensor], Any], points: Tensor, far_m: float, rounds: int
) -> dict[str, Any]:
    """Time one search; the stray point is a query too, as where a cloud is searched for its own points."""
    strays = {}
    for axis, name in enumerate("xyz"):
        stray = points.clone()
        stray[len(points) // 2, axis] = far_m
        strays[name] = stray
    clouds = {"plain": points} | strays
    taken: dict[str, list[float]] = {name: [] for name in clouds}
    for number in range(rounds + 1):
        for name, cloud in clouds.items():
            spent = seconds(search, cloud, cloud[::8])
            if number:  # the first round compiles
                taken[name].append(spent)
    medians = {name: statistics.median(times) for name, times in taken.items()}
    return {
        "cpu_ms": {name: round(1e3 * value, 2) for name, value in medians.items()},
        "ratio": round(max(medians[name] for name in strays) / medians["plain"], 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--points", type=int, default=120_000)
    parser.add_argument("--far-m", type=float, default=1e6)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    torch.set_num_threads(1)
    points = scan(options.points)
    report = {
        "job": {"points": len(points), "queries": len(points[::8]), "far_m": options.far_m, "threads": 1},
        "searches": {
            name: compare(search, points, options.far_m, options.rounds) for name, search in SEARCHES.items()
        },
    }
    print(write_record(options.out, report, packages=("torch", "numpy", "numba", "sparseops")))


if __name__ == "__main__":
    main()
