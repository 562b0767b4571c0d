"""Neighbours of a point among the sites of a sparse tensor."""

from ._api import voxel_query

__all__ = ["voxel_query"]
