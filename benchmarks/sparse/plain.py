"""What the point operators are compared with: the same task in PyTorch, SciPy, shapely and Open3D.

Every function takes the inputs of its problem (points.py) and returns what the problem's digest reads.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sparse.clouds import BOUNDS_M, VOXEL_M

Functions = dict[str, Callable[..., Any]]


def functions(side: str) -> Functions:
    """Functions of a side, by name; ImportError if its library is not there."""
    match side:
        case "ours":
            return _ours()
        case "reference":  # of the tasks that nothing else here solves
            others = {"knn16", "nms", *TORCH}
            return {name: function for name, function in _ours().items() if name not in others}
        case "torch":
            return TORCH
        case "scipy":
            return _scipy()
        case "shapely":
            return _shapely()
        case "open3d":
            return _open3d()
    raise ImportError(f"{side} has no point operators here")


def _ours() -> Functions:
    import sparseops as so

    grid = {"voxel_size": VOXEL_M, "bounds": BOUNDS_M, "batch_size": 1}

    def voxel_mean(points: Tensor) -> Tensor:
        found = so.dynamic_voxelize_batch(points, **grid)
        return so.scatter_mean(points[:, 1:], found.voxel_of_point, dim_size=len(found.coords_bzyx))

    def voxelize(points: Tensor) -> Tensor:
        return so.voxelize_batch(points, **grid, max_points=5, max_voxels=40_000).coords_bzyx

    def chamfer(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        found = so.chamfer_distance(a[None], b[None])
        return found.squared_from_a, found.squared_from_b

    def fps(points: Tensor, count: int) -> Tensor:
        return points[so.furthest_point_sample(points[None], count)[0]]

    def voxel_query(*inputs: Tensor) -> Tensor:
        return so.voxel_query(*inputs, max_range=(4, 4, 4), radius=0.4, num_samples=16)[0]

    return {
        "attend": so.ms_deform_attn,
        "attend_train": lambda *inputs: _gradients(so.ms_deform_attn(*inputs), inputs[0], *inputs[2:]),
        "fps": fps,
        "fps_small": lambda points: so.furthest_point_sample(points, 64),
        "ball": lambda centres, points: so.ball_query(
            centres[None], points[None], radius=0.8, num_samples=16
        )[0],
        "ball_small": lambda points: so.ball_query(points[:, :64], points, radius=0.4, num_samples=16),
        "knn16": lambda queries, points: so.knn(queries[None], points[None], k=16).squared_distances.sqrt(),
        "knn3": lambda queries, points: so.three_nn(queries[None], points[None])[0],
        "nms": lambda boxes, scores: so.nms_bev(boxes, scores, iou_threshold=0.1),
        "voxelize": voxelize,
        "voxel_mean": voxel_mean,
        "scatter_mean": lambda rows, index: so.scatter_mean(rows, index, dim_size=40_000),
        "scatter_max_train": lambda rows, index: _gradients(
            so.scatter_max(rows, index, dim_size=40_000)[0], rows
        ),
        "voxel_query": voxel_query,
        "roi_aware": lambda points, features, rois: so.roi_aware_pool(points, features, rois, output_size=12),
        "chamfer": chamfer,
        "iou": so.iou_3d,
        "in_boxes": so.points_in_boxes,
        "group_train": lambda features, rows: _gradients(so.group(features, rows), features),
    }


def _gradients(out: Tensor, *leaves: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(out, leaves, torch.ones_like(out))


def attend(value: Tensor, shapes: list[tuple[int, int]], locations: Tensor, weights: Tensor) -> Tensor:
    """Deformable attention by `grid_sample`, level by level."""
    batch, _, heads, channels = value.shape
    queries, points = locations.shape[1], locations.shape[4]
    levels = value.split([h * w for h, w in shapes], dim=1)
    out = value.new_zeros(batch * heads, channels, queries)
    for level, (plane, (h, w)) in enumerate(zip(levels, shapes, strict=True)):
        image = plane.permute(0, 2, 3, 1).reshape(batch * heads, channels, h, w)
        at = (2 * locations[:, :, :, level] - 1).transpose(1, 2).reshape(batch * heads, queries, points, 2)
        share = weights[:, :, :, level].transpose(1, 2).reshape(batch * heads, 1, queries, points)
        out = out + (F.grid_sample(image, at, align_corners=False) * share).sum(-1)
    return out.view(batch, heads * channels, queries).transpose(1, 2)


def _fps(points: Tensor, count: int) -> Tensor:
    chosen = torch.zeros(count, dtype=torch.int64)
    left = torch.full((len(points),), torch.inf)
    for i in range(1, count):
        torch.minimum(left, (points - points[chosen[i - 1]]).square().sum(1), out=left)
        chosen[i] = left.argmax()
    return points[chosen]


def _ball(centres: Tensor, points: Tensor) -> Tensor:
    number, found = torch.arange(len(points)), []
    for part in centres.split(256):
        near = torch.cdist(part, points, compute_mode="donot_use_mm_for_euclid_dist") < 0.8
        first = torch.where(near, number, len(points)).topk(16, largest=False, sorted=True).values
        found.append(torch.where(first < len(points), first, first[:, :1]))
    return torch.cat(found)


def _nearest(queries: Tensor, points: Tensor) -> Tensor:
    """Distances of the three nearest, without the matrix product, whose rounding is coarse."""
    parts = (torch.cdist(q, points, compute_mode="donot_use_mm_for_euclid_dist") for q in queries.split(1024))
    return torch.cat([part.topk(3, largest=False).values for part in parts])


def _scatter_mean(rows: Tensor, index: Tensor, count: int = 40_000) -> Tensor:
    into = rows.new_zeros(count, rows.shape[1])
    return into.scatter_reduce_(0, index[:, None].expand_as(rows), rows, "mean", include_self=False)


def _scatter_max_train(rows: Tensor, index: Tensor) -> tuple[Tensor, ...]:
    into = rows.new_zeros(40_000, rows.shape[1])
    return _gradients(
        into.scatter_reduce(0, index[:, None].expand_as(rows), rows, "amax", include_self=False), rows
    )


def _voxel_mean(points: Tensor) -> Tensor:
    low, high, edge = torch.tensor(BOUNDS_M[:3]), torch.tensor(BOUNDS_M[3:]), torch.tensor(VOXEL_M)
    rows = points[((points[:, 1:4] >= low) & (points[:, 1:4] < high)).all(1), 1:]
    cell, size = ((rows[:, :3] - low) / edge).long(), ((high - low) / edge).round().long()
    keys, voxel = torch.unique(
        (cell[:, 2] * size[1] + cell[:, 1]) * size[0] + cell[:, 0], return_inverse=True
    )
    return _scatter_mean(rows, voxel, len(keys))


def _chamfer(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    squared = torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist").square()
    return squared.amin(1), squared.amin(0)


TORCH: Functions = {
    "attend": attend,
    "attend_train": lambda *inputs: _gradients(attend(*inputs), inputs[0], *inputs[2:]),
    "fps": _fps,
    "ball": _ball,
    "knn3": _nearest,
    "voxel_mean": _voxel_mean,
    "scatter_mean": _scatter_mean,
    "scatter_max_train": _scatter_max_train,
    "chamfer": _chamfer,
}


def _scipy() -> Functions:
    from scipy.spatial import cKDTree

    def knn(queries: Tensor, points: Tensor, k: int) -> np.ndarray:
        return cKDTree(points.numpy()).query(queries.numpy(), k=k, workers=torch.get_num_threads())[0]

    def balls(centres: Tensor, points: Tensor) -> np.ndarray:
        """The 16 lowest of the rows in every ball."""
        tree = cKDTree(points.numpy())
        lists = tree.query_ball_point(
            centres.numpy(), 0.8, workers=torch.get_num_threads(), return_sorted=True
        )
        return np.array([(rows + rows[:1] * 16)[:16] for rows in lists])

    def chamfer(a: Tensor, b: Tensor) -> tuple[np.ndarray, np.ndarray]:
        return knn(a, b, 1) ** 2, knn(b, a, 1) ** 2

    return {
        "knn16": lambda queries, points: knn(queries, points, 16),
        "knn3": lambda queries, points: knn(queries, points, 3),
        "ball": balls,
        "chamfer": chamfer,
    }


def _shapely() -> Functions:
    import shapely

    def nms(boxes: Tensor, scores: Tensor) -> np.ndarray:
        """Greedy, one vectorised intersection per kept box, with those whose circles meet it."""
        x, y, _, length, width, _, yaw = boxes.double().numpy().T
        along = np.array([0.5, -0.5, -0.5, 0.5]) * length[:, None]
        across = np.array([0.5, 0.5, -0.5, -0.5]) * width[:, None]
        cos, sin = np.cos(yaw)[:, None], np.sin(yaw)[:, None]
        corners = [x[:, None] + cos * along - sin * across, y[:, None] + sin * along + cos * across]
        shapes = shapely.polygons(np.stack(corners, axis=-1))
        areas, radius = shapely.area(shapes), np.hypot(length, width) / 2
        left, kept = np.argsort(-scores.numpy(), kind="stable"), []
        while len(left):
            best, left = left[0], left[1:]
            kept.append(best)
            near = np.hypot(x[left] - x[best], y[left] - y[best]) < radius[left] + radius[best]
            close = left[near]
            common = shapely.area(shapely.intersection(shapes[best], shapes[close]))
            covered = common / (areas[close] + areas[best] - common) > 0.1
            gone = np.zeros(len(left), bool)
            gone[near] = covered
            left = left[~gone]
        return np.array(kept)

    return {"nms": nms}


def _open3d() -> Functions:
    try:
        import open3d
    except OSError as error:  # a library of the system that the wheel needs is missing
        raise ImportError(str(error)) from error

    def fps(points: Tensor, count: int) -> np.ndarray:
        cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points.double().numpy()))
        return np.asarray(cloud.farthest_point_down_sample(count).points)

    def ball(centres: Tensor, points: Tensor) -> None:
        """The 16 nearest within the radius, where the ball query takes the first: a related task."""
        search = open3d.core.nns.NearestNeighborSearch(open3d.core.Tensor(points.numpy()))
        search.hybrid_index(0.8)
        search.hybrid_search(open3d.core.Tensor(centres.numpy()), 0.8, 16)

    return {"fps": fps, "ball": ball}
