"""The nearest points, in order of distance."""

from sparseops.ops.knn._api import Neighbours, knn, knn_stacked

__all__ = ["Neighbours", "knn", "knn_stacked"]
