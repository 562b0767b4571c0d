"""Sparse max pooling along a kernel map."""

from sparseops.ops.sparse_max_pool._api import sparse_max_pool

__all__ = ["sparse_max_pool"]
