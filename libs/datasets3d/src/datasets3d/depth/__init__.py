"""Depth completion from a camera and radar: samples, how they are made, and their augmentation."""

from datasets3d.depth.sample import DepthSample

__all__ = ["DepthSample"]
