"""Reduce rows by an index: sum, mean and maximum."""

from sparseops.ops.scatter._api import scatter_max, scatter_mean, scatter_sum

__all__ = ["scatter_max", "scatter_mean", "scatter_sum"]
