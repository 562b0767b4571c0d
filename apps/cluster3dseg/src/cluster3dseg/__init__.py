"""Cluster3DSeg: a class for every LiDAR point, from networks trained with a loss on clusters within classes."""

__version__ = "0.1.0"
