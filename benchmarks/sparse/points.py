"""Point, box and image operators, on scans of the street and the room, beside what one would use instead."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sparse.case import Case
from sparse.clouds import BOUNDS_M, VOXEL_M, room_points, street_scan

LEVELS = [(48, 160), (24, 80), (12, 40), (6, 20)]
SLOW_REFERENCE = ("knn 16, 8,192 in 100k", "nms_bev 4,096, above 0.1")
"""Cases on which the library's reference takes too long or too much memory."""


@dataclass(frozen=True)
class Problem:
    """A task: its inputs, on the default device, and the name of the function that solves it (plain.py)."""

    inputs: Callable[[], tuple[Any, ...]]
    solver: str
    digest: Callable[[Any], list[float]]


def cases(side: str, *, quick: bool) -> dict[str, Callable[[], Case]]:
    """Everything that this side can do, by name; ImportError if its library is not there."""
    from sparse.plain import functions

    if side == "reference":
        os.environ["SPARSEOPS_BACKEND"] = "reference"
    solvers = functions(side)
    names = list(PROBLEMS)[::3] if quick else list(PROBLEMS)
    return {
        name: partial(_case, PROBLEMS[name], solvers[PROBLEMS[name].solver])
        for name in names
        if PROBLEMS[name].solver in solvers
    }


def _case(problem: Problem, solve: Callable[..., Any]) -> Case:
    torch.manual_seed(0)
    inputs = problem.inputs()
    return Case(lambda: solve(*inputs), tuple, problem.digest)


@cache
def scan() -> Tensor:
    """19k points of the street: x y z intensity."""
    return torch.from_numpy(street_scan(12))


def xyz() -> Tensor:
    return torch.tensor(scan()[:, :3].numpy())


def scan_to(count: int) -> tuple[Tensor, int]:
    return xyz()[:16_384].contiguous(), count


def points_with_sample() -> tuple[Tensor]:
    """The points, with the index of their sample before them."""
    return (torch.tensor(np.insert(scan().numpy(), 0, 0, axis=1)),)


def proposals(count: int) -> tuple[Tensor, Tensor]:
    """Car-like boxes in clusters, as an anchor head returns them, and their scores."""
    centres = torch.rand(60, 2) * torch.tensor([70.0, 80.0])
    boxes = torch.zeros(count, 7)
    boxes[:, :2] = (
        centres[torch.randint(60, (count,))] + torch.randn(count, 2) * 0.5 - torch.tensor([0.0, 40.0])
    )
    boxes[:, 2] = -1
    boxes[:, 3:6] = torch.tensor([3.9, 1.6, 1.56]) * (1 + 0.05 * torch.randn(count, 3))
    boxes[:, 6] = torch.randn(count) * 0.2
    return boxes, torch.rand(count)


def attention(
    queries: int, channels: int, *, train: bool
) -> tuple[Tensor, list[tuple[int, int]], Tensor, Tensor]:
    """Value, level shapes, locations and weights, with 8 heads, 4 levels and 4 points."""
    value = torch.randn(1, sum(h * w for h, w in LEVELS), 8, channels)
    locations, weights = torch.rand(1, queries, 8, 4, 4, 2), torch.randn(1, queries, 8, 16).softmax(-1)
    value, locations, weights = (
        t.requires_grad_(train) for t in (value, locations, weights.view(1, queries, 8, 4, 4))
    )
    return value, LEVELS, locations, weights


def sites() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """27.6k query cells and points near sites, and the sites' cells and centres."""
    cells = torch.div(xyz() - torch.tensor(BOUNDS_M[:3]), torch.tensor(VOXEL_M), rounding_mode="floor").int()
    cells = torch.unique(cells.flip(1), dim=0)
    coords = torch.cat([torch.zeros(len(cells), 1, dtype=torch.int32), cells], 1)
    centres = (cells.flip(1).float() + 0.5) * torch.tensor(VOXEL_M) + torch.tensor(BOUNDS_M[:3])
    at = torch.randint(len(centres), (128 * 216,))
    return coords[at], centres[at] + torch.randn(len(at), 3) * 0.2, coords, centres


def centres_and_points() -> tuple[Tensor, Tensor]:
    points = xyz()
    return points[torch.randperm(len(points))[:2048]], points


def room_queries() -> tuple[Tensor, Tensor]:
    points = torch.tensor(room_points())
    return points[:8192], points[:100_000]


def rows_and_index(*, train: bool = False) -> tuple[Tensor, Tensor]:
    return torch.randn(111_000, 32, requires_grad=train), torch.randint(40_000, (111_000,))


def two_clouds() -> tuple[Tensor, Tensor]:
    points = torch.tensor(room_points())
    return points[:8192], points[8192:16_384] + 0.01


def points_and_centres() -> tuple[Tensor, Tensor]:
    centres, points = centres_and_points()
    return points, centres


def two_sets_of_boxes() -> tuple[Tensor, Tensor]:
    boxes, _ = proposals(576)
    return boxes[:512], boxes[512:]


def points_and_boxes() -> tuple[Tensor, Tensor]:
    return xyz(), proposals(100)[0]


def points_features_boxes() -> tuple[Tensor, Tensor, Tensor]:
    return xyz(), torch.randn(len(scan()), 16), proposals(128)[0]


def small_clouds() -> tuple[Tensor]:
    """256 clouds of 216 points, as they come from pooled regions."""
    return (torch.randn(256, 216, 3),)


def features_and_rows() -> tuple[Tensor, Tensor]:
    return torch.randn(256, 64, 216, requires_grad=True), torch.randint(0, 216, (256, 64, 16))


def _total(result: Any) -> list[float]:
    """Sums of magnitudes, of one tensor or several."""
    tensors = result if isinstance(result, tuple) else (result,)
    return [float(torch.as_tensor(t).detach().double().abs().sum()) for t in tensors]


def _rows(rows: Any) -> list[float]:
    """Number and a sum of row numbers that also tells their order; nothing of nothing."""
    if rows is None:
        return []
    flat = torch.as_tensor(rows).flatten().double().cpu()
    return [
        float(len(flat)),
        float(flat.sum()),
        float((flat * (1 + torch.arange(len(flat), device="cpu") % 97)).sum()),
    ]


PROBLEMS = {
    **{
        f"ms_deform_attn, {queries:,} queries x {channels}, {mode}": Problem(
            partial(attention, queries, channels, train=mode == "train"),
            "attend_train" if mode == "train" else "attend",
            _total,
        )
        for queries, channels in ((10_200, 16), (900, 32))
        for mode in ("forward", "train")
    },
    "furthest_point_sample 16,384 to 2,048": Problem(partial(scan_to, 2048), "fps", _total),
    "furthest_point_sample 16,384 to 4,096": Problem(partial(scan_to, 4096), "fps", _total),
    "furthest_point_sample 256 x (216 to 64)": Problem(small_clouds, "fps_small", _rows),
    "ball_query 16, 2,048 in 19k, r 0.8": Problem(centres_and_points, "ball", _rows),
    "ball_query 16, 256 x (64 in 216), r 0.4": Problem(small_clouds, "ball_small", _rows),
    "knn 16, 8,192 in 100k": Problem(room_queries, "knn16", _total),
    "three_nn, 19k in 2,048": Problem(points_and_centres, "knn3", _total),
    "chamfer_distance 8,192 and 8,192": Problem(two_clouds, "chamfer", _total),
    "voxel_query 16, 27.6k in 15k, 9 x 9 x 9": Problem(sites, "voxel_query", _rows),
    "nms_bev 512, above 0.1": Problem(partial(proposals, 512), "nms", _rows),
    "nms_bev 4,096, above 0.1": Problem(partial(proposals, 4096), "nms", _rows),
    "iou_3d 512 x 64": Problem(two_sets_of_boxes, "iou", _total),
    "points_in_boxes 19k x 100": Problem(points_and_boxes, "in_boxes", _rows),
    "roi_aware_pool 128 x 12^3, 19k x 16": Problem(points_features_boxes, "roi_aware", _total),
    "voxelize_batch 19k, 5 a voxel": Problem(points_with_sample, "voxelize", _rows),
    "dynamic_voxelize_batch and scatter_mean 19k": Problem(points_with_sample, "voxel_mean", _total),
    "scatter_mean 111k x 32 to 40k": Problem(rows_and_index, "scatter_mean", _total),
    "scatter_max 111k x 32 to 40k, train": Problem(
        partial(rows_and_index, train=True), "scatter_max_train", _total
    ),
    "group 256 x 64 x (216 to 64 x 16), train": Problem(features_and_rows, "group_train", _total),
}
"""Every task, in the order of the tables."""
