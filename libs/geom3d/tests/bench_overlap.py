"""Speed of overlap. Run: `pytest libs/geom3d/tests/bench_overlap.py --benchmark-only -p no:xdist`."""

import numpy as np
import pytest
from geom3d import boxes, overlap
from geom3d.kernels import pairwise_intersection_bev

# Smallest and largest dx dy dz yaw.
CARS = ([3.2, 1.4, 1.3, -3.14], [4.5, 1.9, 1.8, 3.14])


def table(count: int, extent: float, seed: int) -> np.ndarray:
    """Random cars within +-extent metres."""
    rng = np.random.default_rng(seed)
    low, high = CARS
    return np.c_[
        rng.uniform(-extent, extent, (count, 2)), np.zeros(count), rng.uniform(low, high, (count, 4))
    ]


@pytest.mark.parametrize("extent", [1.0, 20.0, 70.0], ids=["all_near", "crowded", "far"])
def test_kernel_pairs(benchmark, extent):
    a, b = table(1000, extent, 0), table(1000, extent, 1)
    benchmark.extra_info["share_overlapping"] = float((pairwise_intersection_bev(a, b) > 0).mean())
    benchmark(pairwise_intersection_bev, a, b)
    # A million pairs a round, so this is also millions of pairs per second.
    benchmark.extra_info["million_pairs_per_second"] = 1.0 / benchmark.stats.stats.median


@pytest.mark.parametrize("function", [overlap.iou_bev, overlap.iou_3d, overlap.giou_3d])
def test_public_pairs(benchmark, function):
    a, b = table(300, 20.0, 0), table(300, 20.0, 1)
    function(a[:1], b[:1])
    benchmark(function, a, b)


def test_evaluation_sized_job(benchmark):
    """3769 frames with 5 labels and 15 detections each: the KITTI validation split."""
    frames = [(table(5, 40.0, seed), table(15, 40.0, seed + 10_000)) for seed in range(3769)]
    benchmark.pedantic(lambda: [overlap.iou_3d(a, b) for a, b in frames], rounds=3, warmup_rounds=1)


def test_contains(benchmark):
    points = np.random.default_rng(0).uniform([-70, -40, -3], [70, 40, 1], (120_000, 3))
    benchmark(boxes.contains, points, table(15, 40.0, 0))
