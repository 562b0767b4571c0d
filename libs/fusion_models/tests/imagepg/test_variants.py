from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from fusion_models.detection.anchors import KITTI_ANCHORS
from fusion_models.detection.batch import Batch
from fusion_models.detection.proposals import ProposalConfig
from fusion_models.detection.voxel_backbone import VoxelGrid
from fusion_models.imagepg import Detector, DetectorConfig
from fusion_models.imagepg.variants import imagepg, pg_rcnn, second, voxel_rcnn
from sparseops import iou_bev

VARIANTS = {
    "second": second(),
    "voxel_rcnn": voxel_rcnn(),
    "voxel_rcnn_three_classes": voxel_rcnn(KITTI_ANCHORS),
    "pg_rcnn": pg_rcnn(),
}


def _norm(channels):
    return 2 * channels


def _conv(cin, cout, *, taps=9):
    return cin * cout * taps + _norm(cout)


def _fc(*widths):
    return sum(cin * cout + _norm(cout) for cin, cout in pairwise(widths))


def _voxel_backbone():
    """VoxelBackBone8x of OpenPCDet, layer by layer."""
    layers = [(4, 16), (16, 16), (16, 32), *[(32, 32)] * 2, (32, 64), *[(64, 64)] * 2, *[(64, 64)] * 3]
    return sum(_conv(*layer, taps=27) for layer in layers) + _conv(64, 128, taps=3)


def _bev_backbone(first, second, up):
    """BaseBEVBackbone with LAYER_NUMS [5, 5], UPSAMPLE_STRIDES [1, 2], on 256 channels."""
    down = _conv(256, first) + 5 * _conv(first, first) + _conv(first, second) + 5 * _conv(second, second)
    return down + _conv(first, up, taps=1) + _conv(second, up, taps=4)


def _anchor_head(channels, classes):
    anchors = 2 * classes
    return (channels + 1) * anchors * (classes + 7 + 2)


def _pools(width):
    """Three NeighborVoxelSAModuleMSG on 32, 64 and 64 channels."""
    return sum(_fc(cin, width) + _fc(3, width) + _fc(width, width) for cin in (32, 64, 64))


def _voxel_rcnn_head():
    """VoxelRCNNHead: SHARED_FC, CLS_FC and REG_FC [256, 256], one score, seven codes."""
    return _pools(32) + _fc(216 * 96, 256, 256) + 2 * _fc(256, 256, 256) + 257 * (1 + 7)


def _pg_rcnn_head():
    """PGRCNNHead: position encoder, transformer, generator, embedding, PointNet++ and two heads."""
    position = 27 * 48 + 48 + _norm(48) + 49 * 96
    transformer = 2 * _norm(96) + 96 * 288 + 97 * 96 + 97 * 384 + 385 * 96
    generator = _fc(96, 64, 64) + 65 * (3 + 32) + 33
    embedding = 6 * 64 + 65 * 64 + (64 + 32 + 1) * 64
    levels = _fc(67, 128, 128) + _fc(131, 128, 256)
    heads = 2 * _fc(256, 128, 128) + 129 * (1 + 7)
    return _pools(32) + position + transformer + generator + embedding + levels + heads


@pytest.mark.parametrize(
    ("config", "count", "mebibytes"),
    [
        (second(), _bev_backbone(128, 256, 256) + _anchor_head(512, 3), 20),
        (voxel_rcnn(), _bev_backbone(64, 128, 128) + _anchor_head(256, 1) + _voxel_rcnn_head(), 28),
        (pg_rcnn(), _bev_backbone(64, 128, 128) + _anchor_head(256, 3) + _pg_rcnn_head(), 8),
    ],
)
def test_parameters_are_those_of_the_released_layers(config, count, mebibytes):
    """Counted by hand from the released code; the model zoos state the sizes of their files, rounded down."""
    model = Detector(config)
    assert sum(p.numel() for p in model.parameters()) == count + _voxel_backbone()
    assert int(4 * sum(value.numel() for value in model.state_dict().values()) / 2**20) == mebibytes


@pytest.mark.slow
def test_imagepg_is_the_default():
    assert imagepg() == DetectorConfig()
    assert sum(p.numel() for p in Detector(imagepg()).parameters()) == 52_537_137  # imagepg.yaml


def _small(config):
    """The variant on a grid of 6.4 m, with few proposals; widths and structure as they are."""
    roi = config.roi
    if roi is not None:
        roi = replace(roi, dropout=0.0, targets=replace(roi.targets, rois_per_frame=6))
    return replace(
        config,
        voxels=VoxelGrid(size=config.voxels.size, bounds=(0.0, -3.2, -3.0, 6.4, 3.2, 1.0)),
        train_proposals=ProposalConfig(pre_max=50, threshold=0.8, post_max=16),
        test_proposals=replace(config.test_proposals, post_max=8),
        roi=roi,
    )


def _batch():
    """Two frames with one object each, seen by 60 points."""
    generator = torch.Generator().manual_seed(0)
    boxes = torch.tensor([[[3.0, 0.5, -1, 3.9, 1.6, 1.5, 0.3]], [[3.5, -1, -1, 3.8, 1.6, 1.5, -1.4]]])
    points = []
    for frame in range(2):
        local = (torch.rand(60, 3, generator=generator) - 0.5) * boxes[frame, :, 3:6] + boxes[frame, :, :3]
        points.append(torch.cat([torch.full((60, 1), float(frame)), local, torch.rand(60, 1)], dim=1))
    return Batch(
        frame_ids=("a", "b"),
        points=torch.cat(points),
        seeds=torch.tensor([3, 4]),
        boxes=boxes,
        labels=torch.ones(2, 1, dtype=torch.int64),
        dense_points=torch.cat(points),
        images=None,
        image_sizes=None,
        image_from_points=None,
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", VARIANTS)
def test_every_parameter_learns_and_detections_are_well_formed(name):
    torch.manual_seed(0)
    model, batch = Detector(_small(VARIANTS[name])), _batch()
    config = model.config
    if not config.needs_dense_points:
        batch = replace(batch, dense_points=None)
    losses = model.loss(model(batch), batch)
    losses.total.backward()
    assert losses.total.isfinite()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    assert len(losses.stages) == (0 if config.roi is None else len(config.copies_train) + 1)

    last = model.anchors.classes if model.roi is None else model.roi.score_out
    with torch.no_grad():
        last.weight.mul_(0.1)
        last.bias.fill_(2.0)  # an untrained model is sure of nothing
    detections = model.eval().predict(batch)
    assert len(detections) == 2
    thresholds = torch.tensor((torch.inf, *config.post.class_thresholds))
    for found in detections:
        assert len(found.boxes) and found.boxes.isfinite().all() and (found.boxes[:, 3:6] > 0).all()
        assert (found.scores >= thresholds[found.labels]).all() and (found.scores.diff() <= 0).all()
        assert found.labels.min() >= 1 and found.labels.max() <= len(config.class_names)
        overlap = iou_bev(found.boxes, found.boxes).fill_diagonal_(0.0)
        assert overlap.max() <= config.post.iou_threshold + 1e-4


def test_thresholds_and_widths_are_those_of_the_released_configurations():
    one, many = voxel_rcnn(), voxel_rcnn(KITTI_ANCHORS)
    assert one.class_names == ("Car",) and many.class_names == ("Car", "Pedestrian", "Cyclist")
    assert many.roi.targets.box_foreground_iou == (0.55, 0.55, 0.55)
    assert one.roi.feature == 256 and one.roi.pooled == 96 and pg_rcnn().roi.feature == 256
    assert not one.needs_dense_points and not second().needs_dense_points and pg_rcnn().needs_dense_points
    assert pg_rcnn().post.class_thresholds == (0.7, 0.5, 0.7)
    assert second().post.iou_threshold == second().test_proposals.threshold == 0.01


def test_voxel_rcnn_starts_its_pooling_layers_wider_than_its_successors():
    torch.manual_seed(0)
    kaiming, xavier = (
        Detector(config).roi.pools[2].feature[0].weight for config in (voxel_rcnn(), pg_rcnn())
    )
    assert kaiming.std().item() == pytest.approx((2 / 64) ** 0.5, rel=0.1)
    assert xavier.std().item() == pytest.approx((2 / 96) ** 0.5, rel=0.1)
