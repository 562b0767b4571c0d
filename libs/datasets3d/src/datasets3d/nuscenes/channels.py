"""The sensors of nuScenes by the names of their channels."""

from collections.abc import Mapping
from types import MappingProxyType

CAMERAS = ("CAM_FRONT", "CAM_FRONT_RIGHT", "CAM_BACK_RIGHT", "CAM_BACK", "CAM_BACK_LEFT", "CAM_FRONT_LEFT")
LIDAR = "LIDAR_TOP"
RADARS = ("RADAR_FRONT", "RADAR_FRONT_RIGHT", "RADAR_BACK_RIGHT", "RADAR_BACK_LEFT", "RADAR_FRONT_LEFT")
DEPTH_CHANNELS = ("CAM_FRONT", LIDAR, "RADAR_FRONT")
"""What radar-camera depth completion reads. Source: the released `dataset.py` of Sparse Beats Dense."""
FIVE_RADAR_SWEEPS: Mapping[str, int] = MappingProxyType(dict.fromkeys(RADARS, 5))
"""Sweeps by channel, the key frame's included. Source: the name of the released info files."""
