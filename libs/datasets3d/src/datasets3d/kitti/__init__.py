"""KITTI's object data set: official files as typed frames, detections in the official format."""

from datasets3d._files import read_image, read_image_size
from datasets3d.kitti._files import read_points, read_road_plane
from datasets3d.kitti.dataset import KittiDataset, in_view, objects_from_labels
from datasets3d.kitti.detections import write_detections
from datasets3d.kitti.labels import (
    KITTI_CLASSES,
    KittiLabel,
    read_labels,
    write_labels,
)
from datasets3d.kitti.single import read_frame

__all__ = [
    "KITTI_CLASSES",
    "KittiDataset",
    "KittiLabel",
    "in_view",
    "objects_from_labels",
    "read_frame",
    "read_image",
    "read_image_size",
    "read_labels",
    "read_points",
    "read_road_plane",
    "write_detections",
    "write_labels",
]
