"""The nearest points, in order of distance."""

from sparseops.knn._api import Neighbours, knn, knn_stacked

__all__ = ["Neighbours", "knn", "knn_stacked"]
