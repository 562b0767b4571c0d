"""Sparse maps at a fraction of their size, without averaging."""

from sparseops.ops.downsample_sparse_map._api import downsample_sparse_map

__all__ = ["downsample_sparse_map"]
