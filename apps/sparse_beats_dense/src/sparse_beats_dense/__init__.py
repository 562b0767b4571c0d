"""Sparse Beats Dense: depth completion from a camera and radar, trained with single LiDAR sweeps."""

__version__ = "0.1.0"
