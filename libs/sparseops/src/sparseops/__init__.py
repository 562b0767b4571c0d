"""Sparse, neighbour and attention operators for 3D perception, on CPU and GPU, without a compiler."""

from sparseops import nn
from sparseops.kernel_map import KernelMap, strided_map, submanifold_map, transposed_map
from sparseops.layouts import weight_from_spconv, weight_to_spconv
from sparseops.sites import Sites, sites_from_coords
from sparseops.sparse_conv import sparse_conv
from sparseops.sparse_max_pool import sparse_max_pool
from sparseops.tensor import MapCache, MapKey, SparseTensor, sparse_from_dense

__all__ = [
    "KernelMap",
    "MapCache",
    "MapKey",
    "Sites",
    "SparseTensor",
    "nn",
    "sites_from_coords",
    "sparse_conv",
    "sparse_from_dense",
    "sparse_max_pool",
    "strided_map",
    "submanifold_map",
    "transposed_map",
    "weight_from_spconv",
    "weight_to_spconv",
]
