"""Sparse, neighbour and attention operators for 3D perception, on CPU and GPU, without a compiler."""

from sparseops import nn
from sparseops.ball_query import ball_query, ball_query_stacked
from sparseops.chamfer import ChamferDistance, chamfer_distance
from sparseops.collate import merge_duplicates, sparse_collate
from sparseops.combine import prune, sparse_cat, union_add
from sparseops.devoxelize import trilinear_devoxelize, trilinear_weights
from sparseops.downsample_sparse_map import downsample_sparse_map
from sparseops.furthest_point_sample import furthest_point_sample
from sparseops.global_pool import global_avg_pool, global_max_pool
from sparseops.group import group
from sparseops.interpolate import (
    inverse_distance_weights,
    three_interpolate,
    three_interpolate_stacked,
    three_nn,
    three_nn_stacked,
)
from sparseops.kernel_map import KernelMap, SiteRule, strided_map, submanifold_map, transposed_map
from sparseops.knn import Neighbours, knn, knn_stacked
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
from sparseops.ms_deform_attn import ms_deform_attn
from sparseops.nms import nms_3d, nms_aligned_3d, nms_aligned_bev, nms_bev
from sparseops.points_in_boxes import points_in_boxes, points_in_boxes_batch
from sparseops.roi_aware_pool import roi_aware_pool
from sparseops.roi_grid import roi_grid
from sparseops.roi_point_pool import roi_point_pool
from sparseops.rotated_iou import (
    iou_3d,
    iou_aligned_3d,
    iou_aligned_bev,
    iou_bev,
    paired_iou_3d,
    paired_iou_aligned_3d,
    paired_iou_bev,
)
from sparseops.sample_image import sample_image
from sparseops.scatter import scatter_max, scatter_mean, scatter_sum
from sparseops.sites import Sites, lookup, sites_from_coords
from sparseops.sparse_avg_pool import sparse_avg_pool
from sparseops.sparse_conv import sparse_conv
from sparseops.sparse_max_pool import sparse_max_pool
from sparseops.state_dict import convert_state_dict
from sparseops.tensor import MapCache, MapKey, SparseTensor, sparse_from_dense
from sparseops.voxel_query import voxel_query
from sparseops.voxelize import (
    BatchVoxels,
    DynamicVoxels,
    Voxels,
    voxel_first,
    voxel_grid_size,
    voxel_mean,
    voxelize,
    voxelize_batch,
    voxelize_dynamic,
)
from sparseops.weighted_sum import weighted_sum

__version__ = "0.1.0"

__all__ = [
    "BatchVoxels",
    "ChamferDistance",
    "DynamicVoxels",
    "KernelMap",
    "MapCache",
    "MapKey",
    "Neighbours",
    "SiteRule",
    "Sites",
    "SparseTensor",
    "Voxels",
    "ball_query",
    "ball_query_stacked",
    "chamfer_distance",
    "convert_state_dict",
    "downsample_sparse_map",
    "furthest_point_sample",
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
    "voxelize_dynamic",
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
