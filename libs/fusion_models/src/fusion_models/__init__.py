"""Models and losses for LiDAR and camera perception.

The names below are what most users need; every module's public functions are importable from the module.
"""

from fusion_models.batch import Batch, Detections, ImageInput, collate
from fusion_models.depth_batch import DepthBatch, collate_depth
from fusion_models.imagepg import Detector, DetectorConfig, DetectorLosses, DetectorOutputs
from fusion_models.sparse_beats_dense import DepthOutputs, SparseBeatsDense, SparseBeatsDenseConfig
from fusion_models.sparse_beats_dense_losses import DepthLosses, depth_completion_loss
from fusion_models.variants import pg_rcnn, second, voxel_rcnn, with_image
from fusion_models.weights import convert_official, load_official, load_weights, read_official, save_weights

__all__ = [
    "Batch",
    "DepthBatch",
    "DepthLosses",
    "DepthOutputs",
    "Detections",
    "Detector",
    "DetectorConfig",
    "DetectorLosses",
    "DetectorOutputs",
    "ImageInput",
    "SparseBeatsDense",
    "SparseBeatsDenseConfig",
    "collate",
    "collate_depth",
    "convert_official",
    "depth_completion_loss",
    "load_official",
    "load_weights",
    "pg_rcnn",
    "read_official",
    "save_weights",
    "second",
    "voxel_rcnn",
    "with_image",
]
