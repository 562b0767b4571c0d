"""LiDAR semantic segmentation: MinkUNet, SPVCNN and SPVNAS (arXiv 2007.16100), Cluster3DSeg (2307.14605)."""

from fusion_models.segmentation.batch import SegmentationBatch, collate_segmentation
from fusion_models.segmentation.cluster_loss import WithinClassClusterLoss
from fusion_models.segmentation.config import (
    SPVNAS_10M8,
    BlockWidths,
    SegmentationNetConfig,
    StageWidths,
    minkunet,
    spvcnn,
    spvnas_from_net_config,
)
from fusion_models.segmentation.losses import LossWeights, SegmentationLosses, segmentation_loss
from fusion_models.segmentation.network import (
    PointClasses,
    SegmentationNet,
    SegmentationOutputs,
    point_classes,
)
from fusion_models.segmentation.weights import RELEASED_ENTRY, load_released, slice_supernet

__all__ = [
    "RELEASED_ENTRY",
    "SPVNAS_10M8",
    "BlockWidths",
    "LossWeights",
    "PointClasses",
    "SegmentationBatch",
    "SegmentationLosses",
    "SegmentationNet",
    "SegmentationNetConfig",
    "SegmentationOutputs",
    "StageWidths",
    "WithinClassClusterLoss",
    "collate_segmentation",
    "load_released",
    "minkunet",
    "point_classes",
    "segmentation_loss",
    "slice_supernet",
    "spvcnn",
    "spvnas_from_net_config",
]
