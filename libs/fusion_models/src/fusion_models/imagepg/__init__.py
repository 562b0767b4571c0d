"""ImagePG (arXiv 2409.14985) and what it was built on: PG-RCNN, Voxel R-CNN, SECOND."""

from fusion_models.detection.batch import Batch, Detections, ImageInput, collate
from fusion_models.imagepg.model import Detector, DetectorConfig, DetectorLosses, DetectorOutputs
from fusion_models.imagepg.variants import imagepg, pg_rcnn, second, voxel_rcnn, with_image

__all__ = [
    "Batch",
    "Detections",
    "Detector",
    "DetectorConfig",
    "DetectorLosses",
    "DetectorOutputs",
    "ImageInput",
    "collate",
    "imagepg",
    "pg_rcnn",
    "second",
    "voxel_rcnn",
    "with_image",
]
