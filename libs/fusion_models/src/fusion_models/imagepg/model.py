"""ImagePG: from a cloud and an image to boxes, through occupancy guidance and generated points.

Papers: ImagePG (arXiv 2409.14985, v4) on PG-RCNN (Koo et al., arXiv 2307.12637), Voxel R-CNN (Deng et al.,
arXiv 2012.15712) and SECOND (Yan et al., Sensors 2018); the refinement over copies of the cloud is TED's
(arXiv 2211.11962). One class holds them all: leave out the copies, the occupancy network, the image or the
second stage (`variants.py`). Numbers follow the released imagepg.yaml and kitti_dataset.yaml.

`Detector.forward` reads from top to bottom as the data flows: copies, voxels, 3D backbone, maps merged,
image, occupancy, guidance, BEV backbone, anchors, proposals, refinement in the frame of one copy after the
other.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from sparseops import TensorFields
from torch import Tensor, nn

from fusion_models.detection.anchor_head import (
    AnchorHead,
    AnchorLosses,
    AnchorOutputs,
    anchor_loss,
)
from fusion_models.detection.anchors import assign_anchors
from fusion_models.detection.batch import Batch, Detections
from fusion_models.detection.bev_backbone import BevBackbone
from fusion_models.detection.cloud_copies import (
    CloudCopy,
    copy_clouds,
    merge_bev,
    split_copies,
    vote,
)
from fusion_models.detection.post_process import post_process
from fusion_models.detection.proposals import Proposals, propose
from fusion_models.detection.roi_outputs import RoiOutputs
from fusion_models.detection.roi_targets import RoiTargets, sample_rois
from fusion_models.detection.voxel_backbone import (
    VoxelBackbone,
    VoxelFeatures,
    bev_map,
    encode_voxels,
)
from fusion_models.imagepg.config import DetectorConfig
from fusion_models.imagepg.deform_fusion import DeformAttnFusion, ImageView
from fusion_models.imagepg.guidance import GuidanceFusion
from fusion_models.imagepg.occupancy import (
    OccupancyNetwork,
    OccupancyOutputs,
    occupancy_loss,
    occupancy_target,
    occupied_cells,
)
from fusion_models.imagepg.roi_head import RoiHead
from fusion_models.imagepg.roi_losses import RoiLosses, roi_loss


@dataclass(frozen=True, slots=True)
class StageOutputs(TensorFields):
    """One refinement stage."""

    copy: CloudCopy
    """In whose frame the stage worked: that of `predictions` and `targets`."""
    predictions: RoiOutputs
    boxes: Float[Tensor, "b r 7"]
    """The refined boxes in the frame of the scene."""
    labels: Int[Tensor, "b r"]
    """Class of every RoI, 0 = padding."""
    targets: RoiTargets | None
    """In training only."""


@dataclass(frozen=True, slots=True)
class DetectorOutputs(TensorFields):
    """Everything a forward pass computes that a loss, a detection or a picture needs."""

    anchors: AnchorOutputs
    occupancy: OccupancyOutputs | None
    proposals: Proposals
    stages: tuple[StageOutputs, ...]


@dataclass(frozen=True, slots=True)
class DetectorLosses(TensorFields):
    """Losses of the proposals, the occupancy and each stage; their sum, not a mean over stages, counts."""

    anchors: AnchorLosses
    occupancy: Float[Tensor, ""] | None
    """Weighted; None without occupancy network or with weight 0."""
    stages: tuple[RoiLosses, ...]

    @property
    def total(self) -> Float[Tensor, ""]:
        """What to minimise."""
        parts = [self.anchors.total, *(stage.total for stage in self.stages)]
        return torch.stack(parts if self.occupancy is None else [*parts, self.occupancy]).sum()


class Detector(nn.Module):
    """The detector of a configuration.

    In training mode `forward` samples proposals against the boxes of the batch; in evaluation mode it refines
    the best ones. `predict` gives detections, `loss` the training losses.

    Example:
        >>> from fusion_models.imagepg.variants import pg_rcnn
        >>> model = Detector(pg_rcnn())
        >>> model.backbone.bev_channels, len(model.config.class_names)
        (256, 3)
    """

    def __init__(self, config: DetectorConfig) -> None:
        super().__init__()
        self.config = config
        bounds = config.voxels.bounds
        self.backbone = VoxelBackbone(
            config.backbone,
            sparse_shape_zyx=config.voxels.sparse_shape_zyx,
            point_features=config.point_features,
        )
        rows, columns = self.backbone.out_shape_zyx[1:]
        config.bev.check_map((rows, columns))
        self.occupancy = self.guidance = None
        if config.occupancy is not None:
            self.occupancy = OccupancyNetwork(
                config.occupancy,
                bounds=bounds,
                map_size_yx=(rows, columns),
                sees_image=config.image is not None,
                point_features=config.point_features,
            )
            self.guidance = GuidanceFusion(self.backbone.bev_channels, config.guidance)
        self.bev = BevBackbone(self.backbone.bev_channels, config.bev)
        first = config.bev.strides[0]
        self.anchors = AnchorHead(
            config.bev.out_channels,
            config.anchors,
            bounds=bounds,
            map_size_yx=(-(-rows // first), -(-columns // first)),
        )
        self.image = None
        if config.image is not None:
            from fusion_models.imagepg.image_backbone import ImageBackbone  # timm takes seconds to import

            self.image = ImageBackbone(config.image)
        self.roi = None
        if config.roi is not None:
            self.roi = RoiHead(
                config.roi,
                voxel_channels=self.backbone.channels,
                voxel_size=config.voxels.size,
                bounds=bounds,
            )

    def forward(self, batch: Batch, *, proposals: Proposals | None = None) -> DetectorOutputs:
        """Return predictions, and in training mode the targets sampled for them.

        Args:
            proposals: Refined instead of those of the anchor head, if given.

        Raises:
            ValueError: The points have other columns than `DetectorConfig.point_features`, or the batch lacks
                boxes (training mode) or images (a model with the image branch).
        """
        if batch.points.shape[1] != 1 + self.config.point_features:
            raise ValueError(
                f"Detector: Batch.points has {batch.points.shape[1]} columns, expected 1 + "
                f"{self.config.point_features}: the frame and DetectorConfig.point_features; build the model "
                "for the columns of the data, or leave out those it does not read"
            )
        if self.training and batch.boxes is None:
            raise ValueError(
                "Detector: training mode needs Batch.boxes; call .eval() to predict without labels"
            )
        config, training = self.config, self.training
        copies = config.copies_train if training else config.copies_test
        voxels = self.encode_clouds(batch.points, copies, batch_size=len(batch))
        image_map = self.encode_images(batch)
        bev = self.merge_maps([bev_map(features.out) for features in voxels], copies)
        occupancy = None
        if self.occupancy is not None and self.guidance is not None:
            view = _view(self.occupancy.fusion, image_map, batch)
            occupancy = self.occupancy(batch.points, view, batch_size=len(batch))
            bev = self.guidance(bev, occupancy.guidance)
        anchors = self.anchors(self.bev(bev))
        if proposals is None:
            chosen = config.train_proposals if training else config.test_proposals
            proposals = propose(anchors, config.anchors, config=chosen)
        stages = self._refine(self.roi, proposals, voxels, copies, image_map, batch) if self.roi else ()
        return DetectorOutputs(anchors, occupancy, proposals, stages)

    def encode_clouds(
        self, points: Float[Tensor, "n columns"], copies: Sequence[CloudCopy], *, batch_size: int
    ) -> tuple[VoxelFeatures, ...]:
        """Return the sparse features of every copy of the clouds, the scene itself last.

        In evaluation all copies go through the backbone as one batch. In training each goes alone, the scene
        first, so that batch statistics are those of one copy, as published.

        Args:
            points: b x y z and more in the frame of the scene, not cut to the bounds: a point outside may
                lie inside in a copy.
        """
        count = len(copies) + 1
        if self.training:
            scene = self._encode(points, batch_size)
            return (*[self._encode(copy.cloud(points), batch_size) for copy in copies], scene)
        joined = self._encode(copy_clouds(points, copies, batch_size=batch_size), count * batch_size)
        if count == 1:
            return (joined,)
        wanted = {pool.source for pool in self.config.roi.pools} if self.config.roi is not None else set()
        parts = {name: split_copies(joined.scales[name], count=count) for name in sorted(wanted)}
        return tuple(
            VoxelFeatures(scales={name: part[t] for name, part in parts.items()}, out=out)
            for t, out in enumerate(split_copies(joined.out, count=count))
        )

    def _encode(self, points: Tensor, batch_size: int) -> VoxelFeatures:
        grid = self.config.voxels
        limit = grid.max_voxels_train if self.training else grid.max_voxels_test
        return self.backbone(encode_voxels(points, grid, batch_size=batch_size, max_voxels=limit))

    def merge_maps(
        self, maps: Sequence[Float[Tensor, "b c y x"]], copies: Sequence[CloudCopy]
    ) -> Float[Tensor, "b c y x"]:
        """Return the maximum of the maps of all copies in the frame of the scene, whose own map is last."""
        bounds, alignment = self.config.voxels.bounds, self.config.bev_alignment
        return merge_bev(maps[-1], maps[:-1], copies, bounds=bounds, alignment=alignment)

    def encode_images(self, batch: Batch) -> Float[Tensor, "b c h8 w8"] | None:
        """Return the feature maps of the images, None for a model without the image branch.

        Raises:
            ValueError: The batch has no images.
        """
        if self.image is None:
            return None
        if batch.images is None:
            raise ValueError(
                "Detector: this model has an image branch but the batch has no images; pass "
                "image=ImageInput() to collate or build the model with_image(config, None)"
            )
        return self.image(batch.images)

    def _refine(
        self,
        head: RoiHead,
        proposals: Proposals,
        voxels: Sequence[VoxelFeatures],
        copies: Sequence[CloudCopy],
        image_map: Tensor | None,
        batch: Batch,
    ) -> tuple[StageOutputs, ...]:
        view = _view(None if head.image is None else head.image.fusion, image_map, batch)
        rois, labels, scores = proposals.boxes, proposals.labels, proposals.scores
        stages: list[StageOutputs] = []
        for copy, features in zip((*copies, CloudCopy()), voxels, strict=True):
            rois, targets = copy.boxes(rois), None
            if self.training and batch.boxes is not None and batch.labels is not None:
                objects, seeds = copy.boxes(batch.boxes), batch.seeds + len(stages)
                targets = sample_rois(rois, labels, scores, objects, batch.labels, head.config.targets, seeds)
                rois, labels = targets.rois, targets.labels
            history = [done.predictions.feature for done in stages] if head.history is not None else []
            with torch.autocast(rois.device.type, enabled=False):
                scene_from_copy = copy.scene_from_copy.to(rois).expand(len(rois), 4, 4)
                seen = None if view is None else view.seen_from(scene_from_copy)
            predictions = head(rois, features.scales, seen, history=history)
            rois = copy.restore_boxes(predictions.boxes)
            stages.append(StageOutputs(copy, predictions, rois, labels, targets))
            scores = predictions.logits.detach().view(labels.shape)
        return tuple(stages)

    def loss(self, outputs: DetectorOutputs, batch: Batch) -> DetectorLosses:
        """Return the losses of a forward pass in training mode.

        Raises:
            ValueError: The outputs come from evaluation mode, or the batch has no boxes, or no dense points
                though a loss needs them.
        """
        if batch.boxes is None or batch.labels is None:
            raise ValueError("Detector.loss: Batch.boxes is None; collate frames that have objects")
        if self.config.needs_dense_points and batch.dense_points is None:
            raise ValueError(
                "Detector.loss: Batch.dense_points is None, but generated points and occupancy learn from "
                "complete surfaces of the objects; make them with `python -m datasets3d complete kitti`, or "
                "set roi.losses.chamfer_weight and occupancy.loss_weight to 0 to train without"
            )
        targets = assign_anchors(
            outputs.anchors.anchors, batch.boxes, batch.labels, classes=self.config.anchors.classes
        )
        return DetectorLosses(
            anchor_loss(outputs.anchors, targets, self.config.anchors),
            self._occupancy_loss(outputs.occupancy, batch),
            tuple(self._stage_loss(stage, batch) for stage in outputs.stages),
        )

    def _occupancy_loss(self, outputs: OccupancyOutputs | None, batch: Batch) -> Tensor | None:
        config, dense = self.config.occupancy, batch.dense_points
        if outputs is None or config is None or not config.loss_weight or dense is None:
            return None
        occupied = occupied_cells(
            dense,
            bounds=self.config.voxels.bounds,
            map_size_yx=(outputs.logits.shape[2], outputs.logits.shape[3]),
            batch_size=len(batch),
        )
        target = occupancy_target(occupied, splat=config.splat, layout=config.layout)
        return config.loss_weight * occupancy_loss(outputs.probability, target)

    def _stage_loss(self, stage: StageOutputs, batch: Batch) -> RoiLosses:
        if stage.targets is None or self.config.roi is None or batch.boxes is None:
            raise ValueError("Detector.loss: outputs of evaluation mode have no targets; call .train() first")
        dense = None if batch.dense_points is None else stage.copy.cloud(batch.dense_points)
        return roi_loss(
            stage.predictions, stage.targets, dense, stage.copy.boxes(batch.boxes), self.config.roi.losses
        )

    @torch.no_grad()
    def predict(self, batch: Batch) -> list[Detections]:
        """Return the detections of every frame: boxes and logits averaged over the stages, then suppressed.

        Raises:
            ValueError: The model is in training mode.
        """
        if self.training:
            raise ValueError("Detector.predict: the model is in training mode; call .eval() first")
        return self.detections(self(batch))

    @torch.no_grad()
    def detections(self, outputs: DetectorOutputs) -> list[Detections]:
        """Return the detections that the outputs of evaluation mode amount to."""
        boxes, logits, labels = outputs.proposals.boxes, outputs.proposals.scores, outputs.proposals.labels
        if outputs.stages:
            labels = outputs.stages[-1].labels
            boxes, logits = vote(
                torch.stack([stage.boxes for stage in outputs.stages]),
                torch.stack([stage.predictions.logits.view(labels.shape) for stage in outputs.stages]),
            )
        return post_process(boxes, logits, labels, config=self.config.post)


def _view(fusion: DeformAttnFusion | None, image_map: Tensor | None, batch: Batch) -> ImageView | None:
    """What one attention reads of the images; its values are computed at an eighth of their size."""
    if fusion is None or image_map is None or batch.images is None or batch.image_from_points is None:
        return None
    size = (batch.images.shape[2], batch.images.shape[3])
    return fusion.view(image_map, batch.image_from_points, size=size)
