"""Neighbours of a point among the sites of a sparse tensor."""

from sparseops.ops.voxel_query._api import voxel_query

__all__ = ["voxel_query"]
