"""Synthetic streets with LiDAR, cameras and radars, written as data sets of KITTI or nuScenes.

Needs the extra `synth`: pip install 'datasets3d[synth]'.
"""

from datasets3d.synth.camera import CameraView, render
from datasets3d.synth.config import CameraConfig, LabelConfig, LidarConfig, StreetConfig, SynthConfig
from datasets3d.synth.labels import Visibility, measure_visibility
from datasets3d.synth.lidar import LidarScan, scan
from datasets3d.synth.nuscenes_config import NuscenesSynthConfig
from datasets3d.synth.nuscenes_writer import write_nuscenes
from datasets3d.synth.radar import RadarConfig, RadarScanConfig, RadarSweep, simulate_radar
from datasets3d.synth.scene import Actor, Scene, Sun, build_scene
from datasets3d.synth.writer import SynthFrame, observe, simulate_frame, write_kitti

__all__ = [
    "Actor",
    "CameraConfig",
    "CameraView",
    "LabelConfig",
    "LidarConfig",
    "LidarScan",
    "NuscenesSynthConfig",
    "RadarConfig",
    "RadarScanConfig",
    "RadarSweep",
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
    "simulate_radar",
    "write_kitti",
    "write_nuscenes",
]
