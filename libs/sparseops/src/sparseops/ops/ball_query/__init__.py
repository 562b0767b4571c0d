"""The first points within a radius, in index order."""

from sparseops.ops.ball_query._api import ball_query, ball_query_stacked

__all__ = ["ball_query", "ball_query_stacked"]
