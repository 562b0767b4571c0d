"""nuScenes, from its 13 JSON tables and sensor files, without the official kit."""

from datasets3d.nuscenes.images import read_image, read_image_size
from datasets3d.nuscenes.lidar import LIDAR_FIELDS, read_lidar, write_lidar
from datasets3d.nuscenes.radar import RADAR_FIELDS, filter_states, read_radar, write_radar
from datasets3d.nuscenes.records import Pose, SampleRecord, SensorRecord, b_from_a

__all__ = [
    "LIDAR_FIELDS",
    "RADAR_FIELDS",
    "Pose",
    "SampleRecord",
    "SensorRecord",
    "b_from_a",
    "filter_states",
    "read_image",
    "read_image_size",
    "read_lidar",
    "read_radar",
    "write_lidar",
    "write_radar",
]
