"""Sparse convolution along a kernel map."""

from sparseops.ops.sparse_conv._api import sparse_conv

__all__ = ["sparse_conv"]
