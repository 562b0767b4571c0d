"""nuScenes, from its 13 JSON tables and sensor files, without the official kit."""

from datasets3d.nuscenes.records import Pose, SampleRecord, SensorRecord, b_from_a

__all__ = ["Pose", "SampleRecord", "SensorRecord", "b_from_a"]
