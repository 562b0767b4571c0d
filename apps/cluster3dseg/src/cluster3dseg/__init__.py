"""Cluster3DSeg: a class for every LiDAR point, by networks trained with clusters within the classes."""

__version__ = "0.1.0"
