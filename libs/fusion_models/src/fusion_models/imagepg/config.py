"""Configuration of the detector: every part, and that the parts fit together."""

from dataclasses import dataclass, field

from fusion_models.detection.anchor_head import AnchorHeadConfig
from fusion_models.detection.bev_backbone import BevBackboneConfig
from fusion_models.detection.cloud_copies import TEST_COPIES, TRAIN_COPIES, BevAlignment, CloudCopy
from fusion_models.detection.post_process import PostProcessConfig
from fusion_models.detection.proposals import TEST_PROPOSALS, ProposalConfig
from fusion_models.detection.voxel_backbone import VoxelBackboneConfig, VoxelGrid
from fusion_models.imagepg.guidance import GuidanceFusionConfig
from fusion_models.imagepg.image_config import ImageBackboneConfig
from fusion_models.imagepg.occupancy import OccupancyConfig
from fusion_models.imagepg.roi_head import RoiHeadConfig


@dataclass(frozen=True)
class DetectorConfig:
    """The whole detector; the defaults are ImagePG's. Every part states the source of its numbers."""

    point_features: int = 4
    """Columns of a point: x y z and what else is measured. Source: imagepg.yaml, with the intensity."""
    voxels: VoxelGrid = field(default_factory=VoxelGrid)
    """What the detector sees, and how finely."""
    backbone: VoxelBackboneConfig = field(default_factory=VoxelBackboneConfig)
    """Sparse 3D convolutions over the voxels."""
    copies_train: tuple[CloudCopy, ...] = TRAIN_COPIES
    """Copies of the cloud in training. A stage refines in the frame of each, in order, one more in the scene
    itself; empty for a single stage."""
    copies_test: tuple[CloudCopy, ...] = TEST_COPIES
    """Copies of the cloud in evaluation."""
    bev_alignment: BevAlignment = "published"
    """How the maps of the copies are brought together; see `copies.merge_bev`."""
    occupancy: OccupancyConfig | None = field(default_factory=OccupancyConfig)
    """Occupancy network (I-OPN) that guides the BEV map; None: without."""
    guidance: GuidanceFusionConfig = field(default_factory=GuidanceFusionConfig)
    """How it guides; unused without occupancy network."""
    bev: BevBackboneConfig = field(default_factory=BevBackboneConfig)
    """2D convolutions over the guided map."""
    anchors: AnchorHeadConfig = field(default_factory=AnchorHeadConfig)
    """Classes, their anchors and the losses of the proposal network."""
    train_proposals: ProposalConfig = field(default_factory=ProposalConfig)
    """Proposals that the second stage samples from in training."""
    test_proposals: ProposalConfig = TEST_PROPOSALS
    """Proposals that it refines in evaluation."""
    image: ImageBackboneConfig | None = field(default_factory=ImageBackboneConfig)
    """None: LiDAR only, and `roi.image_channels` must be None too. `with_image` sets all that belongs to
    it."""
    roi: RoiHeadConfig | None = field(default_factory=RoiHeadConfig)
    """Second stage; its weights are shared by all refinement stages. None: the proposals are the detections
    (SECOND)."""
    post: PostProcessConfig = field(default_factory=PostProcessConfig)
    """Thresholds of the detections."""

    def __post_init__(self) -> None:
        if self.point_features < 3:
            raise ValueError(f"DetectorConfig.point_features counts x y z, got {self.point_features}")
        self._check_image()
        counts = {
            "anchors.classes": len(self.anchors.classes),
            "post.class_thresholds": len(self.post.class_thresholds),
        }
        if self.roi is not None:
            counts["roi.targets"] = len(self.roi.targets.box_foreground_iou)
        if len(set(counts.values())) != 1:
            raise ValueError(f"DetectorConfig: every part needs one entry per class, got {counts}")

    def _check_image(self) -> None:
        channels = None if self.image is None else self.image.channels
        if self.roi is not None and self.roi.image_channels != channels:
            raise ValueError(
                f"DetectorConfig: image offers {channels} channels but roi.image_channels is "
                f"{self.roi.image_channels}; set both together with with_image"
            )
        if self.occupancy is not None and channels not in (None, self.occupancy.channels):
            raise ValueError(
                f"DetectorConfig: image offers {channels} channels but occupancy.channels is "
                f"{self.occupancy.channels}; the pillars are mixed with the image, so both must be equal"
            )

    @property
    def class_names(self) -> tuple[str, ...]:
        """Classes in the order of the labels 1..K; what `collate` wants."""
        return tuple(anchor.name for anchor in self.anchors.classes)

    @property
    def needs_dense_points(self) -> bool:
        """Whether a loss compares with the complete surfaces of the objects (`Batch.dense_points`)."""
        generates = self.roi is not None and self.roi.losses.chamfer_weight > 0
        return generates or (self.occupancy is not None and self.occupancy.loss_weight > 0)
