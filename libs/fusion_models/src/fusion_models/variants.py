"""The detectors that come out of the same blocks: ImagePG and what it was built on, as configurations."""

from dataclasses import replace

from fusion_models.bev_backbone import BevBackboneConfig
from fusion_models.image_backbone import ImageBackboneConfig
from fusion_models.imagepg import DetectorConfig
from fusion_models.post_process import PostProcessConfig
from fusion_models.roi_head import pg_rcnn_roi_head
from fusion_models.voxel_backbone import VoxelBackboneConfig, VoxelGrid


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
    return DetectorConfig(
        voxels=VoxelGrid(size=(0.05, 0.05, 0.1)),
        backbone=VoxelBackboneConfig(channels=(16, 32, 64, 64)),
        bev=BevBackboneConfig(channels=(64, 128), up_channels=(128, 128)),
        copies_train=(),
        copies_test=(),
        occupancy=None,
        image=None,
        roi=pg_rcnn_roi_head(),
        post=PostProcessConfig(score_threshold=0.3),
    )
