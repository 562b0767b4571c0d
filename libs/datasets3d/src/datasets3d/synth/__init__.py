"""Synthetic streets with a LiDAR and a camera, written as a KITTI object data set.

Needs the extra `synth`: pip install 'datasets3d[synth]'.
"""

from datasets3d.synth.camera import CameraView, render
from datasets3d.synth.config import CameraConfig, LabelConfig, LidarConfig, StreetConfig, SynthConfig
from datasets3d.synth.labels import Visibility, measure_visibility
from datasets3d.synth.lidar import LidarScan, scan
from datasets3d.synth.scene import Actor, Scene, Sun, build_scene
from datasets3d.synth.writer import SynthFrame, observe, simulate_frame, write_kitti

__all__ = [
    "Actor",
    "CameraConfig",
    "CameraView",
    "LabelConfig",
    "LidarConfig",
    "LidarScan",
    "Scene",
    "StreetConfig",
    "Sun",
    "SynthConfig",
    "SynthFrame",
    "Visibility",
    "build_scene",
    "measure_visibility",
    "observe",
    "render",
    "scan",
    "simulate_frame",
    "write_kitti",
]
