"""ImagePG (arXiv 2409.14985) and what it was built on: PG-RCNN, Voxel R-CNN, SECOND."""

from fusion_models.detection.batch import Batch, Detections, ImageInput, collate
from fusion_models.imagepg.config import DetectorConfig
from fusion_models.imagepg.model import Detector, DetectorLosses, DetectorOutputs
from fusion_models.imagepg.variants import imagepg, pg_rcnn, second, voxel_rcnn, with_image
from fusion_models.imagepg.weights import RELEASED_ENTRY, load_released

__all__ = [
    "RELEASED_ENTRY",
    "Batch",
    "Detections",
    "Detector",
    "DetectorConfig",
    "DetectorLosses",
    "DetectorOutputs",
    "ImageInput",
    "collate",
    "imagepg",
    "load_released",
    "pg_rcnn",
    "second",
    "voxel_rcnn",
    "with_image",
]
