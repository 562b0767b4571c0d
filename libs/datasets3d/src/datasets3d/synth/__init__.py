"""Synthetic streets with LiDAR, cameras and radars, written as KITTI, nuScenes or SemanticKITTI.

Needs the extra `synth`: pip install 'fusion3d-datasets3d[synth]'.
"""

from datasets3d.synth.config import CameraConfig, LabelConfig, LidarConfig, StreetConfig, SynthConfig
from datasets3d.synth.layouts.ade20k import ade20k_ids
from datasets3d.synth.layouts.kitti import SynthFrame, observe, simulate_frame, write_kitti
from datasets3d.synth.layouts.labels import Visibility, measure_visibility
from datasets3d.synth.layouts.nuscenes import write_nuscenes
from datasets3d.synth.layouts.semantickitti import write_semantickitti
from datasets3d.synth.layouts.semantickitti_statistics import LabelStatistics, measure_labels
from datasets3d.synth.nuscenes_config import NuscenesSynthConfig
from datasets3d.synth.semantickitti_config import RareThingsConfig, SemanticKittiSynthConfig
from datasets3d.synth.sensors.camera import CameraView, render
from datasets3d.synth.sensors.lidar import LidarScan, scan
from datasets3d.synth.sensors.radar import RadarConfig, RadarScanConfig, RadarSweep, simulate_radar
from datasets3d.synth.sensors.rig import RigSensor, nuscenes_rig
from datasets3d.synth.world.drive import Drive, build_drive
from datasets3d.synth.world.scene import Actor, Scene, Sun, build_scene

__all__ = [
    "Actor",
    "CameraConfig",
    "CameraView",
    "Drive",
    "LabelConfig",
    "LabelStatistics",
    "LidarConfig",
    "LidarScan",
    "NuscenesSynthConfig",
    "RadarConfig",
    "RadarScanConfig",
    "RadarSweep",
    "RareThingsConfig",
    "RigSensor",
    "Scene",
    "SemanticKittiSynthConfig",
    "StreetConfig",
    "Sun",
    "SynthConfig",
    "SynthFrame",
    "Visibility",
    "ade20k_ids",
    "build_drive",
    "build_scene",
    "measure_labels",
    "measure_visibility",
    "nuscenes_rig",
    "observe",
    "render",
    "scan",
    "simulate_frame",
    "simulate_radar",
    "write_kitti",
    "write_nuscenes",
    "write_semantickitti",
]
