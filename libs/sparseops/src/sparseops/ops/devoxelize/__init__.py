"""Features of sparse sites at points, by trilinear interpolation."""

from sparseops.ops.devoxelize._api import trilinear_devoxelize, trilinear_weights

__all__ = ["trilinear_devoxelize", "trilinear_weights"]
