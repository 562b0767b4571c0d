"""Sparse Beats Dense: depth completion from a camera and radar, trained with single LiDAR sweeps."""
