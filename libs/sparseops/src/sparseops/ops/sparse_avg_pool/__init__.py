"""Sparse average pooling along a kernel map."""

from sparseops.ops.sparse_avg_pool._api import sparse_avg_pool

__all__ = ["sparse_avg_pool"]
