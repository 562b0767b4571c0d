"""Depth completion from a camera and radar: samples, how they are made, and their augmentation."""

from datasets3d.depth.accumulation import Accumulation, write_dense_supervision
from datasets3d.depth.augmentation import (
    ColourJitter,
    DepthAugmentation,
    GaussianBlur,
    IntrinsicsDisruption,
    augment,
)
from datasets3d.depth.masks import RADAR_CLASSES, radar_classes, unpack_masks
from datasets3d.depth.moving import MovingObjects, read_moving_objects
from datasets3d.depth.reading import (
    DepthReading,
    read_evaluation_sample,
    read_input_sample,
    read_training_sample,
)
from datasets3d.depth.sample import DepthSample

__all__ = [
    "RADAR_CLASSES",
    "Accumulation",
    "ColourJitter",
    "DepthAugmentation",
    "DepthReading",
    "DepthSample",
    "GaussianBlur",
    "IntrinsicsDisruption",
    "MovingObjects",
    "augment",
    "radar_classes",
    "read_evaluation_sample",
    "read_input_sample",
    "read_moving_objects",
    "read_training_sample",
    "unpack_masks",
    "write_dense_supervision",
]
