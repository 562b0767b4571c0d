"""Models and losses for LiDAR and camera perception.

The names below are what most users need; every module's public functions are importable from the module.
"""

from fusion_models.batch import Batch, Detections, ImageInput, collate
from fusion_models.imagepg import Detector, DetectorConfig, DetectorLosses, DetectorOutputs
from fusion_models.variants import pg_rcnn, second, voxel_rcnn, with_image
from fusion_models.weights import convert_official, load_official, load_weights, read_official, save_weights

__all__ = [
    "Batch",
    "Detections",
    "Detector",
    "DetectorConfig",
    "DetectorLosses",
    "DetectorOutputs",
    "ImageInput",
    "collate",
    "convert_official",
    "load_official",
    "load_weights",
    "pg_rcnn",
    "read_official",
    "save_weights",
    "second",
    "voxel_rcnn",
    "with_image",
]
