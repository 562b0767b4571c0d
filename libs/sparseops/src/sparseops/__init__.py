"""Sparse, neighbour and attention operators for 3D perception, on CPU and GPU, without a compiler."""

from sparseops import _pytree as _pytree  # tells PyTorch of the containers
from sparseops import nn
from sparseops.collate import merge_duplicates, sparse_collate
from sparseops.combine import prune, sparse_cat, union_add
from sparseops.containers import TensorFields
from sparseops.global_pool import global_avg_pool, global_max_pool
from sparseops.grid_frame import GridFrame
from sparseops.layouts import (
    weight_from_dense,
    weight_from_minkowski,
    weight_from_spconv,
    weight_from_torchsparse,
    weight_to_dense,
    weight_to_minkowski,
    weight_to_spconv,
    weight_to_torchsparse,
    weight_xyz_to_zyx,
)
from sparseops.ops.ball_query import ball_query, ball_query_stacked
from sparseops.ops.chamfer import ChamferDistance, chamfer_distance
from sparseops.ops.devoxelize import trilinear_devoxelize, trilinear_weights
from sparseops.ops.downsample_sparse_map import downsample_sparse_map
from sparseops.ops.furthest_point_sample import furthest_point_sample
from sparseops.ops.group import group
from sparseops.ops.interpolate import (
    inverse_distance_weights,
    three_interpolate,
    three_interpolate_stacked,
    three_nn,
    three_nn_stacked,
)
from sparseops.ops.kernel_map import KernelMap, SiteRule, strided_map, submanifold_map, transposed_map
from sparseops.ops.knn import Neighbours, knn, knn_stacked
from sparseops.ops.ms_deform_attn import ms_deform_attn
from sparseops.ops.nms import nms_3d, nms_aligned_3d, nms_aligned_bev, nms_bev
from sparseops.ops.points_in_boxes import points_in_boxes, points_in_boxes_batch
from sparseops.ops.roi_aware_pool import roi_aware_pool
from sparseops.ops.roi_grid import roi_grid
from sparseops.ops.roi_point_pool import roi_point_pool
from sparseops.ops.rotated_iou import (
    giou_3d,
    iou_3d,
    iou_aligned_3d,
    iou_aligned_bev,
    iou_bev,
    paired_giou_3d,
    paired_iou_3d,
    paired_iou_aligned_3d,
    paired_iou_bev,
)
from sparseops.ops.sample_image import sample_image
from sparseops.ops.scatter import scatter_max, scatter_mean, scatter_sum
from sparseops.ops.sparse_avg_pool import sparse_avg_pool
from sparseops.ops.sparse_conv import sparse_conv
from sparseops.ops.sparse_max_pool import sparse_max_pool
from sparseops.ops.voxel_query import voxel_query
from sparseops.ops.voxelize import (
    BatchVoxels,
    DynamicVoxels,
    Voxels,
    dynamic_voxelize_batch,
    voxel_first,
    voxel_grid_size,
    voxel_mean,
    voxelize,
    voxelize_batch,
)
from sparseops.ops.weighted_sum import weighted_sum
from sparseops.sites import Sites, lookup, sites_from_coords
from sparseops.state_dict import convert_state_dict
from sparseops.tensor import MapCache, MapKey, SparseTensor, sparse_from_dense

__version__ = "0.1.0"

__all__ = [
    "BatchVoxels",
    "ChamferDistance",
    "DynamicVoxels",
    "GridFrame",
    "KernelMap",
    "MapCache",
    "MapKey",
    "Neighbours",
    "SiteRule",
    "Sites",
    "SparseTensor",
    "TensorFields",
    "Voxels",
    "ball_query",
    "ball_query_stacked",
    "chamfer_distance",
    "convert_state_dict",
    "downsample_sparse_map",
    "dynamic_voxelize_batch",
    "furthest_point_sample",
    "giou_3d",
    "global_avg_pool",
    "global_max_pool",
    "group",
    "inverse_distance_weights",
    "iou_3d",
    "iou_aligned_3d",
    "iou_aligned_bev",
    "iou_bev",
    "knn",
    "knn_stacked",
    "lookup",
    "merge_duplicates",
    "ms_deform_attn",
    "nms_3d",
    "nms_aligned_3d",
    "nms_aligned_bev",
    "nms_bev",
    "nn",
    "paired_giou_3d",
    "paired_iou_3d",
    "paired_iou_aligned_3d",
    "paired_iou_bev",
    "points_in_boxes",
    "points_in_boxes_batch",
    "prune",
    "roi_aware_pool",
    "roi_grid",
    "roi_point_pool",
    "sample_image",
    "scatter_max",
    "scatter_mean",
    "scatter_sum",
    "sites_from_coords",
    "sparse_avg_pool",
    "sparse_cat",
    "sparse_collate",
    "sparse_conv",
    "sparse_from_dense",
    "sparse_max_pool",
    "strided_map",
    "submanifold_map",
    "three_interpolate",
    "three_interpolate_stacked",
    "three_nn",
    "three_nn_stacked",
    "transposed_map",
    "trilinear_devoxelize",
    "trilinear_weights",
    "union_add",
    "voxel_first",
    "voxel_grid_size",
    "voxel_mean",
    "voxel_query",
    "voxelize",
    "voxelize_batch",
    "weight_from_dense",
    "weight_from_minkowski",
    "weight_from_spconv",
    "weight_from_torchsparse",
    "weight_to_dense",
    "weight_to_minkowski",
    "weight_to_spconv",
    "weight_to_torchsparse",
    "weight_xyz_to_zyx",
    "weighted_sum",
]
