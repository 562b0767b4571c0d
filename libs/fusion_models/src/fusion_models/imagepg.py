"""PG-RCNN with ImagePG's dimensions: from a cloud and an image to boxes, through generated points.

Papers: SECOND (Yan et al., Sensors 2018) for backbones and anchor head; Voxel R-CNN (arXiv 2012.15712) for
pooling; PG-RCNN (Koo et al., arXiv 2307.12637) for the second stage; ImagePG (arXiv 2409.14985, v4) for the
dimensions and the image branch. Still without ImagePG's occupancy guidance of the BEV map and its transformed
copies of the cloud: guidance is a module between `bev_map` and the BEV backbone, copies give each stage
voxels of its own; neither changes the modules here. Numbers follow the released imagepg.yaml and
kitti_dataset.yaml.
"""

from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from fusion_models.anchor_head import AnchorHead, AnchorHeadConfig, AnchorLosses, AnchorOutputs, anchor_loss
from fusion_models.anchors import assign_anchors
from fusion_models.batch import Batch, Detections
from fusion_models.bev_backbone import BevBackbone, BevBackboneConfig
from fusion_models.deform_fusion import ImageView
from fusion_models.image_backbone import ImageBackbone, ImageBackboneConfig
from fusion_models.post_process import PostProcessConfig, post_process
from fusion_models.proposals import TEST_PROPOSALS, ProposalConfig, Proposals, propose
from fusion_models.roi_head import RoiHead, RoiHeadConfig, pg_rcnn_roi_head
from fusion_models.roi_losses import RoiLosses, roi_loss
from fusion_models.roi_outputs import RoiOutputs
from fusion_models.roi_targets import RoiTargets, sample_rois
from fusion_models.voxel_backbone import (
    VoxelBackbone,
    VoxelBackboneConfig,
    VoxelFeatures,
    VoxelGrid,
    bev_map,
    encode_voxels,
)


@dataclass(frozen=True)
class DetectorConfig:
    """The whole detector; the defaults are ImagePG's. Every part states the source of its numbers."""

    voxels: VoxelGrid = field(default_factory=VoxelGrid)
    backbone: VoxelBackboneConfig = field(default_factory=VoxelBackboneConfig)
    bev: BevBackboneConfig = field(default_factory=BevBackboneConfig)
    anchors: AnchorHeadConfig = field(default_factory=AnchorHeadConfig)
    train_proposals: ProposalConfig = field(default_factory=ProposalConfig)
    test_proposals: ProposalConfig = TEST_PROPOSALS
    image: ImageBackboneConfig | None = field(default_factory=ImageBackboneConfig)
    """None: LiDAR only, and `roi.image_channels` must be None too. `with_image` sets both."""
    roi: RoiHeadConfig = field(default_factory=RoiHeadConfig)
    stages: int = 1
    """Refinement stages, which share their weights: each takes the boxes of the one before. ImagePG runs one
    per copy of the cloud plus one; without copies 1 is PG-RCNN."""
    post: PostProcessConfig = field(default_factory=PostProcessConfig)

    def __post_init__(self) -> None:
        channels = None if self.image is None else self.image.channels
        if channels != self.roi.image_channels:
            raise ValueError(
                f"DetectorConfig: image offers {channels} channels but roi.image_channels is "
                f"{self.roi.image_channels}; set both together with with_image"
            )
        if self.stages < 1:
            raise ValueError(f"DetectorConfig.stages must be at least 1, got {self.stages}")
        counts = {
            "anchors.classes": len(self.anchors.classes),
            "roi.targets": len(self.roi.targets.box_foreground_iou),
            "post.class_thresholds": len(self.post.class_thresholds),
        }
        if len(set(counts.values())) != 1:
            raise ValueError(f"DetectorConfig: every part needs one entry per class, got {counts}")

    @property
    def class_names(self) -> tuple[str, ...]:
        """Classes in the order of the labels 1..K; what `collate` wants."""
        return tuple(anchor.name for anchor in self.anchors.classes)


@dataclass(frozen=True, slots=True)
class StageOutputs:
    """One refinement stage."""

    predictions: RoiOutputs
    labels: Int[Tensor, "b r"]
    """Class of every RoI, 0 = padding."""
    targets: RoiTargets | None
    """In training only."""


@dataclass(frozen=True, slots=True)
class DetectorOutputs:
    """Everything a forward pass computes that a loss or a detection needs."""

    anchors: AnchorOutputs
    proposals: Proposals
    stages: tuple[StageOutputs, ...]


@dataclass(frozen=True, slots=True)
class DetectorLosses:
    """Losses of the proposal network and of each stage; the total is their sum, not a mean over stages."""

    anchors: AnchorLosses
    stages: tuple[RoiLosses, ...]

    @property
    def total(self) -> Float[Tensor, ""]:
        """What to minimise."""
        return torch.stack([self.anchors.total, *(stage.total for stage in self.stages)]).sum()


class Detector(nn.Module):
    """Voxels, 3D backbone, BEV backbone, anchors, proposals, then refinement of every proposal.

    In training mode `forward` samples proposals against the boxes of the batch; in evaluation mode it refines
    the best ones. `predict` gives detections, `loss` the training losses.

    Example:
        >>> model = Detector(pg_rcnn())
        >>> model.backbone.bev_channels, len(model.config.class_names)
        (256, 3)
    """

    def __init__(self, config: DetectorConfig) -> None:
        super().__init__()
        self.config = config
        shape = config.voxels.sparse_shape_zyx
        self.backbone = VoxelBackbone(config.backbone, sparse_shape_zyx=shape)
        self.bev = BevBackbone(self.backbone.bev_channels, config.bev)
        first = config.bev.strides[0]
        rows, columns = (-(-side // first) for side in self.backbone.out_shape_zyx[1:])
        self.anchors = AnchorHead(
            config.bev.out_channels, config.anchors, bounds=config.voxels.bounds, map_size_yx=(rows, columns)
        )
        self.image = None if config.image is None else ImageBackbone(config.image)
        self.roi = RoiHead(
            config.roi,
            voxel_channels=self.backbone.channels,
            voxel_size=config.voxels.size,
            bounds=config.voxels.bounds,
        )

    def forward(self, batch: Batch, *, proposals: Proposals | None = None) -> DetectorOutputs:
        """Return predictions, and in training mode the targets sampled for them.

        Args:
            proposals: Refined instead of those of the anchor head, if given.

        Raises:
            ValueError: The batch lacks boxes (training mode) or images (a model with the image branch).
        """
        if self.training and batch.boxes is None:
            raise ValueError(
                "Detector: training mode needs Batch.boxes; call .eval() to predict without labels"
            )
        voxels = self.encode_cloud(batch.points, batch_size=len(batch))
        anchors = self.anchors(self.bev(bev_map(voxels.out)))
        if proposals is None:
            chosen = self.config.train_proposals if self.training else self.config.test_proposals
            proposals = propose(anchors, self.config.anchors, config=chosen)
        return DetectorOutputs(
            anchors, proposals, self._refine(proposals, voxels, self.view_images(batch), batch)
        )

    def encode_cloud(self, points: Float[Tensor, "n 5"], *, batch_size: int) -> VoxelFeatures:
        """Return the sparse features of clouds given as b x y z intensity."""
        grid = self.config.voxels
        limit = grid.max_voxels_train if self.training else grid.max_voxels_test
        return self.backbone(encode_voxels(points, grid, batch_size=batch_size, max_voxels=limit))

    def view_images(self, batch: Batch) -> ImageView | None:
        """Return what the stages see of the images, None for a model without the image branch."""
        if self.image is None:
            return None
        if batch.images is None or batch.image_from_points is None:
            raise ValueError(
                "Detector: this model has an image branch but the batch has no images; pass "
                "image=ImageInput() to collate or build the model with_image(config, None)"
            )
        height, width = batch.images.shape[2:]
        return self.roi.view_images(self.image(batch.images), batch.image_from_points, size=(height, width))

    def _refine(
        self, proposals: Proposals, voxels: VoxelFeatures, view: ImageView | None, batch: Batch
    ) -> tuple[StageOutputs, ...]:
        rois, labels, scores = proposals.boxes, proposals.labels, proposals.scores
        stages: list[StageOutputs] = []
        for stage in range(self.config.stages):
            targets = None
            if self.training and batch.boxes is not None and batch.labels is not None:
                targets = sample_rois(
                    rois,
                    labels,
                    scores,
                    batch.boxes,
                    batch.labels,
                    self.config.roi.targets,
                    batch.seeds + stage,
                )
                rois, labels = targets.rois, targets.labels
            history = [done.predictions.feature for done in stages] if self.roi.history is not None else []
            predictions = self.roi(rois, voxels.scales, view, history=history)
            stages.append(StageOutputs(predictions, labels, targets))
            rois, scores = predictions.boxes, predictions.logits.detach().view(labels.shape)
        return tuple(stages)

    def loss(self, outputs: DetectorOutputs, batch: Batch) -> DetectorLosses:
        """Return the losses of a forward pass in training mode.

        Raises:
            ValueError: The outputs come from evaluation mode or the batch has no boxes.
        """
        if batch.boxes is None or batch.labels is None:
            raise ValueError("Detector.loss: Batch.boxes is None; collate frames that have objects")
        targets = assign_anchors(
            outputs.anchors.anchors, batch.boxes, batch.labels, classes=self.config.anchors.classes
        )
        stages = []
        for stage in outputs.stages:
            if stage.targets is None:
                raise ValueError(
                    "Detector.loss: outputs of evaluation mode have no targets; call .train() first"
                )
            stages.append(
                roi_loss(
                    stage.predictions, stage.targets, batch.dense_points, batch.boxes, self.config.roi.losses
                )
            )
        return DetectorLosses(anchor_loss(outputs.anchors, targets, self.config.anchors), tuple(stages))

    @torch.no_grad()
    def predict(self, batch: Batch) -> list[Detections]:
        """Return the detections of every frame: boxes and logits averaged over the stages, then suppressed.

        Raises:
            ValueError: The model is in training mode.
        """
        if self.training:
            raise ValueError("Detector.predict: the model is in training mode; call .eval() first")
        stages = self(batch).stages
        boxes, logits = vote(
            torch.stack([stage.predictions.boxes for stage in stages]),
            torch.stack([stage.predictions.logits.view(stage.labels.shape) for stage in stages]),
        )
        return post_process(boxes, logits, stages[-1].labels, config=self.config.post)


def vote(
    boxes: Float[Tensor, "t b r 7"], logits: Float[Tensor, "t b r"]
) -> tuple[Float[Tensor, "b r 7"], Float[Tensor, "b r"]]:
    """Return the arithmetic means over the stages, headings included: a stage turns boxes only a little.

    Example:
        >>> vote(torch.zeros(2, 1, 1, 7), torch.tensor([[[1.0]], [[3.0]]]))[1].tolist()
        [[2.0]]
    """
    return boxes.mean(dim=0), logits.mean(dim=0)


def with_image(config: DetectorConfig, image: ImageBackboneConfig | None) -> DetectorConfig:
    """Return the configuration with this image branch, or without one.

    Example:
        >>> with_image(DetectorConfig(), None).roi.image_channels is None
        True
    """
    channels = None if image is None else image.channels
    return replace(config, image=image, roi=replace(config.roi, image_channels=channels))


def pg_rcnn() -> DetectorConfig:
    """Return PG-RCNN as published: narrower, LiDAR only, voxels 0.1 m tall. Source: the authors' pgrcnn.yaml.

    It has 2.28 million parameters; the 8.8 M of the authors' model zoo is the size of the weights file in
    megabytes.
    """
    return DetectorConfig(
        voxels=VoxelGrid(size=(0.05, 0.05, 0.1)),
        backbone=VoxelBackboneConfig(channels=(16, 32, 64, 64)),
        bev=BevBackboneConfig(channels=(64, 128), up_channels=(128, 128)),
        image=None,
        roi=pg_rcnn_roi_head(),
        post=PostProcessConfig(score_threshold=0.3),
    )
