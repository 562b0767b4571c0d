"""The detectors that come out of the same blocks: ImagePG and what it was built on, as configurations.

The ladder is `second()`, `voxel_rcnn()`, `pg_rcnn()`, `imagepg()`; each is as published, hence with widths,
classes and thresholds of its own. To compare parts rather than papers, change one part of one configuration.
"""

from dataclasses import replace

from fusion_models.detection.anchor_head import AnchorHeadConfig
from fusion_models.detection.anchors import KITTI_ANCHORS, AnchorClass
from fusion_models.detection.bev_backbone import BevBackboneConfig
from fusion_models.detection.post_process import PostProcessConfig
from fusion_models.detection.proposals import ProposalConfig
from fusion_models.detection.roi_targets import RoiTargetConfig
from fusion_models.detection.voxel_backbone import VoxelBackboneConfig, VoxelGrid
from fusion_models.detection.voxel_pool import voxel_pools
from fusion_models.imagepg.config import DetectorConfig
from fusion_models.imagepg.image_config import ImageBackboneConfig
from fusion_models.imagepg.point_generator import GeneratorConfig
from fusion_models.imagepg.pointnet2 import SetAbstractionConfig
from fusion_models.imagepg.roi_head import RoiHeadConfig
from fusion_models.imagepg.roi_losses import RoiLossConfig

_VOXELS = VoxelGrid(size=(0.05, 0.05, 0.1))
"""Source: kitti_dataset.yaml of OpenPCDet."""
_BACKBONE = VoxelBackboneConfig(channels=(16, 32, 64, 64))
"""Source: VoxelBackBone8x of OpenPCDet."""


def imagepg() -> DetectorConfig:
    """Return ImagePG as published (arXiv 2409.14985). Source: imagepg.yaml, kitti_dataset.yaml."""
    return DetectorConfig()


def with_image(config: DetectorConfig, image: ImageBackboneConfig | None) -> DetectorConfig:
    """Return the configuration with this image branch, or without one.

    Example:
        >>> with_image(DetectorConfig(), None).roi.image_channels is None
        True
    """
    channels = None if image is None else image.channels
    roi, occupancy = config.roi, config.occupancy
    return replace(
        config,
        image=image,
        roi=None if roi is None else replace(roi, image_channels=channels),
        occupancy=occupancy
        if occupancy is None or channels is None
        else replace(occupancy, channels=channels),
    )


def pg_rcnn() -> DetectorConfig:
    """Return PG-RCNN as published: narrower, LiDAR only, voxels 0.1 m tall. Source: the authors' pgrcnn.yaml.

    It has 2.28 million parameters; the 8.8 M of the authors' model zoo is the size of the weights file in
    megabytes.
    """
    roi = RoiHeadConfig(
        pools=voxel_pools(32),
        generator=GeneratorConfig(hidden=384, generator_fc=(64, 64), feature=32),
        image_channels=None,
        abstractions=(
            SetAbstractionConfig(points=64, radius_m=0.4, samples=16, channels=(128, 128)),
            SetAbstractionConfig(points=None, channels=(128, 256)),
        ),
        shared_fc=(),
        attends_history=False,
        score_fc=(128, 128),
        box_fc=(128, 128),
        dropout=0.3,
        targets=_class_agnostic_targets(len(KITTI_ANCHORS)),
        losses=RoiLossConfig(corner_weight=1.0, overlap_weight=0.0, sample_points=2048, min_chamfer_points=0),
    )
    post = PostProcessConfig(
        score_threshold=0.3, class_thresholds=(0.7, 0.5, 0.7)
    )  # SCORE_THRESH, CAT_THRESH
    return _without_copies(BevBackboneConfig(channels=(64, 128), up_channels=(128, 128)), roi=roi, post=post)


def voxel_rcnn(classes: tuple[AnchorClass, ...] = KITTI_ANCHORS[:1]) -> DetectorConfig:
    """Return Voxel R-CNN (arXiv 2012.15712). Source: voxel_rcnn_car.yaml of OpenPCDet.

    7.59 million parameters, most of them in the two fully connected layers that read the pooled grid where
    its successors generate points.

    Args:
        classes: Cars alone were published; with more, thresholds stay the same for all.
    """
    roi = RoiHeadConfig(
        pools=voxel_pools(32),
        generator=None,
        image_channels=None,
        abstractions=(),
        attends_history=False,
        dropout=0.3,
        targets=_class_agnostic_targets(len(classes)),
        losses=RoiLossConfig(corner_weight=1.0, overlap_weight=0.0, point_weight=0.0, chamfer_weight=0.0),
    )
    return _without_copies(
        BevBackboneConfig(channels=(64, 128), up_channels=(128, 128)),
        roi=roi,
        post=PostProcessConfig(score_threshold=0.3, class_thresholds=(0.3,) * len(classes)),
        classes=classes,
    )


def second() -> DetectorConfig:
    """Return SECOND (Yan et al., Sensors 2018) as it is trained today. Source: second.yaml of OpenPCDet.

    5.33 million parameters and one stage: the proposals, suppressed at a lower overlap, are the detections.
    """
    return replace(
        _without_copies(
            BevBackboneConfig(),
            roi=None,
            post=PostProcessConfig(score_threshold=0.1, iou_threshold=0.01, class_thresholds=(0.1, 0.1, 0.1)),
        ),
        test_proposals=ProposalConfig(pre_max=4096, threshold=0.01, post_max=500),
    )


def _without_copies(
    bev: BevBackboneConfig,
    *,
    roi: RoiHeadConfig | None,
    post: PostProcessConfig,
    classes: tuple[AnchorClass, ...] = KITTI_ANCHORS,
) -> DetectorConfig:
    """One pass over the cloud alone, with the voxels and the 3D backbone of OpenPCDet."""
    return DetectorConfig(
        voxels=_VOXELS,
        backbone=_BACKBONE,
        copies_train=(),
        copies_test=(),
        occupancy=None,
        bev=bev,
        anchors=AnchorHeadConfig(classes=classes),
        image=None,
        roi=roi,
        post=post,
    )


def _class_agnostic_targets(classes: int) -> RoiTargetConfig:
    """One threshold for all classes, written once per class; voxel_rcnn_car.yaml and pgrcnn.yaml."""
    return RoiTargetConfig(
        rois_per_frame=128,
        score_foreground_iou=(0.75,) * classes,
        score_background_iou=(0.25,) * classes,
        box_foreground_iou=(0.55,) * classes,
    )
