"""Neighbours of a point among the sites of a sparse tensor."""

from sparseops.voxel_query._api import voxel_query

__all__ = ["voxel_query"]
