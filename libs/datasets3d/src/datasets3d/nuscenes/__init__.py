"""nuScenes, from its 13 JSON tables and sensor files, without the official kit."""

from datasets3d._files import read_image, read_image_size
from datasets3d.nuscenes.annotations import Annotations
from datasets3d.nuscenes.channels import CAMERAS, DEPTH_CHANNELS, FIVE_RADAR_SWEEPS, LIDAR, RADARS
from datasets3d.nuscenes.dataset import NuscenesDataset
from datasets3d.nuscenes.lidar import LIDAR_FIELDS, read_lidar, write_lidar
from datasets3d.nuscenes.radar import RADAR_FIELDS, filter_states, read_radar, write_radar
from datasets3d.nuscenes.records.from_tables import build_records
from datasets3d.nuscenes.records.json_file import read_records, write_records
from datasets3d.nuscenes.records.published import read_published_infos, write_published_infos
from datasets3d.nuscenes.records.record import Pose, SampleRecord, SensorRecord, b_from_a

__all__ = [
    "CAMERAS",
    "DEPTH_CHANNELS",
    "FIVE_RADAR_SWEEPS",
    "LIDAR",
    "LIDAR_FIELDS",
    "RADARS",
    "RADAR_FIELDS",
    "Annotations",
    "NuscenesDataset",
    "Pose",
    "SampleRecord",
    "SensorRecord",
    "b_from_a",
    "build_records",
    "filter_states",
    "read_image",
    "read_image_size",
    "read_lidar",
    "read_published_infos",
    "read_radar",
    "read_records",
    "write_lidar",
    "write_published_infos",
    "write_radar",
    "write_records",
]
