"""A small call of every operator that has CPU kernels, forward and backward."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Calls = dict[str, Callable[[], Any]]


def calls() -> Calls:
    """All calls, by name, in an order in which each compiles what the ones before did not."""
    return {**_convolutions(), **_rows(), **_points(), **_boxes()}


def _backward(out: Any, *leaves: Tensor) -> None:
    out = out.features if hasattr(out, "features") else out
    torch.autograd.grad(out.square().sum(), leaves)


def _convolutions() -> Calls:
    import sparseops as so
    from sparseops import nn

    coords = torch.unique(
        torch.randint(0, 12, (600, 4), dtype=torch.int32) % torch.tensor([2, 12, 12, 12]), dim=0
    )
    features = torch.randn(len(coords), 16, requires_grad=True)
    tensor = so.SparseTensor(features, coords.int(), (12, 12, 12), 2)
    halve = nn.SparseConv3d(16, 16, 3, stride=2, padding=1, key="halve")
    layers = {
        "submanifold convolution": nn.SubmanifoldConv3d(16, 16, 3),
        "strided convolution": halve,
        "inverse convolution": nn.SparseSequential(halve, nn.InverseConv3d(16, 16, 3, of="halve")),
        "transposed convolution": nn.TransposedConv3d(16, 16, 2, stride=2),
        "convolution, site rule of MinkowskiEngine": nn.SparseConv3d(
            16, 16, 3, stride=2, site_rule="minkowski"
        ),
        "maximum pooling": nn.SparseMaxPool3d(2),
        "mean pooling": nn.SparseAvgPool3d(2),
    }
    found: Calls = {
        "sites": lambda: so.sites_from_coords(coords.int(), spatial_shape=(12, 12, 12), batch_size=2)
    }
    found |= {
        name: (lambda layer=layer: _backward(layer(tensor), features)) for name, layer in layers.items()
    }
    at = torch.cat([torch.zeros(50, 1), torch.rand(50, 3) * 11], 1)
    found["maximum pooling, ties shared"] = lambda: _backward(
        so.sparse_max_pool(features, kernel_map=so.submanifold_map(tensor.sites, kernel_size=3), tie="all"),
        features,
    )
    found["global pooling"] = lambda: (so.global_avg_pool(tensor), so.global_max_pool(tensor))
    found["union and concatenation"] = lambda: (so.union_add(tensor, tensor), so.sparse_cat(tensor, tensor))
    found["trilinear devoxelisation"] = lambda: _backward(
        so.trilinear_devoxelize(features, *so.trilinear_weights(at, tensor.sites)), features
    )
    return found


def _rows() -> Calls:
    import sparseops as so

    rows, index = torch.randn(200, 8, requires_grad=True), torch.randint(0, 40, (200,))
    features, idx = torch.randn(2, 8, 30, requires_grad=True), torch.randint(0, 30, (2, 10, 4))
    value, weights = (
        torch.randn(1, 20, 2, 16, requires_grad=True),
        torch.rand(1, 5, 2, 1, 4, requires_grad=True),
    )
    locations = torch.rand(1, 5, 2, 1, 4, 2, requires_grad=True)
    image, uv_px = torch.randn(1, 8, 6, 7, requires_grad=True), torch.rand(9, 2, requires_grad=True)
    three = (torch.randint(0, 200, (50, 3)), torch.rand(50, 3, requires_grad=True))
    return {
        "scatter_sum": lambda: _backward(so.scatter_sum(rows, index, dim_size=40), rows),
        "scatter_mean": lambda: _backward(so.scatter_mean(rows, index, dim_size=40), rows),
        "scatter_max": lambda: _backward(so.scatter_max(rows, index, dim_size=40)[0], rows),
        "group": lambda: _backward(so.group(features, idx), features),
        "weighted_sum": lambda: _backward(so.weighted_sum(rows, *three), rows, three[1]),
        "ms_deform_attn": lambda: _backward(
            so.ms_deform_attn(value, [(4, 5)], locations, weights), value, locations, weights
        ),
        "sample_image": lambda: _backward(
            so.sample_image(image, uv_px, torch.zeros(9, dtype=torch.int64)), image, uv_px
        ),
    }


def _points() -> Calls:
    import sparseops as so

    few, many = torch.randn(2, 60, 3), torch.randn(1, 6000, 3)
    points = torch.cat([torch.zeros(500, 1), torch.rand(500, 4) * 4], 1)
    grid = {"voxel_size": (0.5, 0.5, 0.5), "bounds": (0.0, 0.0, 0.0, 4.0, 4.0, 4.0), "batch_size": 1}
    leaf = points.clone().requires_grad_()

    def voxel_query() -> None:
        found = so.dynamic_voxelize_batch(points, **grid)
        cells = found.coords_bzyx
        centres = cells[:, [3, 2, 1]].float()
        so.voxel_query(cells, centres, cells, centres, max_range=(2, 2, 2), radius=1.5, num_samples=4)

    return {
        "voxelize_batch": lambda: _backward(
            so.voxelize_batch(leaf, **grid, max_points=5, max_voxels=100).points, leaf
        ),
        "dynamic_voxelize_batch": lambda: so.dynamic_voxelize_batch(points, **grid),
        "voxel_query": voxel_query,
        "ball_query, brute force": lambda: so.ball_query(few, few, radius=0.5, num_samples=4),
        "ball_query, cells": lambda: so.ball_query(many[:, :2000], many, radius=0.1, num_samples=4),
        "furthest_point_sample": lambda: so.furthest_point_sample(few, 8),
        "knn": lambda: (so.knn(few, few, k=3), so.knn(many, many, k=3)),
    }


def _boxes() -> Calls:
    import sparseops as so

    boxes = torch.rand(40, 7) + torch.tensor([0.0, 0, 0, 1, 1, 1, 0])
    scores, points, features = torch.rand(40), torch.rand(300, 3) * 2, torch.randn(300, 4, requires_grad=True)
    return {
        "iou": lambda: (so.iou_3d(boxes, boxes), so.iou_bev(boxes, boxes)),
        "iou of pairs": lambda: (so.paired_iou_3d(boxes, boxes), so.paired_iou_bev(boxes, boxes)),
        "nms": lambda: (
            so.nms_bev(boxes, scores, iou_threshold=0.5),
            so.nms_3d(boxes, scores, iou_threshold=0.5),
            so.nms_aligned_bev(boxes, scores, iou_threshold=0.5),
            so.nms_aligned_3d(boxes, scores, iou_threshold=0.5),
        ),
        "points_in_boxes": lambda: so.points_in_boxes(points, boxes),
        "roi_aware_pool": lambda: _backward(
            so.roi_aware_pool(points, features, boxes, output_size=4), features
        ),
        "roi_point_pool": lambda: _backward(
            so.roi_point_pool(points[None], features[None], boxes[None], num_sampled_points=16)[0], features
        ),
    }
