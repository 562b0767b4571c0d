from dataclasses import replace

import pytest
import torch
from fusion_models.detection.anchor_head import AnchorHeadConfig
from fusion_models.detection.anchors import KITTI_ANCHORS
from fusion_models.detection.batch import Batch
from fusion_models.detection.bev_backbone import BevBackboneConfig
from fusion_models.detection.cloud_copies import CloudCopy
from fusion_models.detection.post_process import PostProcessConfig
from fusion_models.detection.proposals import ProposalConfig, Proposals
from fusion_models.detection.roi_targets import RoiTargetConfig
from fusion_models.detection.voxel_backbone import VoxelBackboneConfig, VoxelGrid
from fusion_models.detection.voxel_pool import VoxelPoolConfig
from fusion_models.imagepg.config import DetectorConfig
from fusion_models.imagepg.guidance import GuidanceFusionConfig
from fusion_models.imagepg.image_config import ImageBackboneConfig, SwinConfig
from fusion_models.imagepg.model import Detector, StageOutputs
from fusion_models.imagepg.occupancy import OccupancyConfig
from fusion_models.imagepg.point_generator import GeneratorConfig
from fusion_models.imagepg.pointnet2 import SetAbstractionConfig
from fusion_models.imagepg.roi_head import RoiHeadConfig
from fusion_models.imagepg.roi_losses import RoiLossConfig
from fusion_models.imagepg.variants import with_image

IMAGE = ImageBackboneConfig(
    swin=SwinConfig(
        embed_dim=8, depths=(1, 1, 1, 1), heads=(1, 1, 2, 2), window=4, frozen_stages=-1, drop_path=0.0
    ),
    neck_channels=16,
    channels=16,
)
OCCUPANCY = OccupancyConfig(
    channels=16,
    backbone=BevBackboneConfig((1, 1), (2, 2), (8, 16), (1, 2), (8, 8)),
    head_channels=8,
    threshold=0.05,  # below the first probability everywhere, so that there is guidance
)
COPIES = (CloudCopy(rotation_rad=0.4, scale=0.98), CloudCopy(flip_y=True, rotation_rad=-0.3, scale=1.02))
FULL = {"image": IMAGE, "copies": COPIES, "occupancy": OCCUPANCY}
PARTS = {
    "lidar": {},
    "image": {"image": IMAGE},
    "copies": {"copies": COPIES},
    "occupancy": {"occupancy": OCCUPANCY},
    "full": FULL,
    "one-stage": {"roi": None},
}


def _pools():
    sources = (("x_conv2", 2, 0.8), ("x_conv3", 4, 1.6), ("x_conv4", 8, 3.2))
    return tuple(
        VoxelPoolConfig(source=name, stride=stride, radius_m=radius, channels=8, samples=4)
        for name, stride, radius in sources
    )


def _roi_config(image):
    return RoiHeadConfig(
        grid_size=3,
        pools=_pools(),
        generator=GeneratorConfig(heads=2, hidden=16, generator_fc=(16,), feature=8, embedding=(8, 8)),
        image_channels=None if image is None else image.channels,
        abstractions=(
            SetAbstractionConfig(points=8, radius_m=0.8, samples=4, channels=(16, 16)),
            SetAbstractionConfig(points=None, channels=(16, 16)),
        ),
        shared_fc=(16, 16),
        score_fc=(16,),
        box_fc=(16,),
        dropout=0.0,
        targets=RoiTargetConfig(rois_per_frame=16),
        # few enough that furthest points are never among those of a RoI drawn twice, which tie
        losses=RoiLossConfig(sample_points=32),
    )


def _small_config(*, image=None, copies=(), occupancy=None, **changes):
    config = DetectorConfig(
        voxels=VoxelGrid(size=(0.2, 0.2, 0.1), bounds=(0.0, -12.8, -2.0, 25.6, 12.8, 1.0)),
        backbone=VoxelBackboneConfig((4, 8, 8, 8), 16),
        bev=BevBackboneConfig((1, 1), (1, 2), (16, 16), (1, 2), (16, 16)),
        anchors=AnchorHeadConfig(classes=KITTI_ANCHORS),
        train_proposals=ProposalConfig(pre_max=200, threshold=0.8, post_max=32),
        test_proposals=ProposalConfig(pre_max=100, threshold=0.7, post_max=16),
        copies_train=copies,
        copies_test=copies,
        occupancy=occupancy,
        guidance=GuidanceFusionConfig(hidden=16, reduction=4, kernel=3),
        image=image,
        roi=_roi_config(image),
    )
    return replace(config, **changes)


def _model(**options):
    torch.manual_seed(0)
    return Detector(_small_config(**options))


def _batch(*, points=400, boxes=True, images=False):
    """Two frames: a cluster of points in each of three boxes, and some on the ground."""
    generator = torch.Generator().manual_seed(2)
    placed = torch.tensor(
        [
            [
                [10.0, 2, -1, 4.0, 1.7, 1.5, 0.2],
                [16, -4, -0.2, 0.8, 0.7, 1.7, 1.0],
                [8, -6, -0.2, 1.8, 0.6, 1.7, -2.0],
            ],
            [[14.0, 6, -1, 3.8, 1.6, 1.5, -1.4], [12, -2, -1, 4.2, 1.7, 1.6, 1.6], [0, 0, 0, 0, 0, 0, 0]],
        ]
    )
    labels = torch.tensor([[1, 2, 3], [1, 1, 0]])
    rows, dense = [], []
    for frame in range(2):
        for index in range(int((labels[frame] > 0).sum())):
            box = placed[frame, index]
            local = (torch.rand(points // 8, 3, generator=generator) - 0.5) * box[3:6] + box[:3]
            head = torch.full((len(local), 1), float(frame))
            rows.append(torch.cat([head, local, torch.rand(len(local), 1, generator=generator)], dim=1))
            dense.append(torch.cat([head, local, torch.full((len(local), 1), float(index))], dim=1))
        ground = torch.rand(points // 2, 2, generator=generator) * 25.6 - torch.tensor([0.0, 12.8])
        rest = torch.tensor([-1.7, 0.1]).expand(len(ground), 2)
        rows.append(torch.cat([torch.full((len(ground), 1), float(frame)), ground, rest], dim=1))
    camera = torch.tensor([[32.0, -40, 0, 0], [16, 0, -40, 0], [1, 0, 0, 0]]).expand(2, 3, 4)
    return Batch(
        frame_ids=("a", "b"),
        points=torch.cat(rows)[: 0 if points == 0 else None],
        seeds=torch.tensor([3, 4]),
        boxes=placed if boxes else torch.zeros(2, 0, 7),
        labels=labels if boxes else torch.zeros(2, 0, dtype=torch.int64),
        dense_points=torch.cat(dense),
        images=torch.randn(2, 3, 32, 64, generator=generator) if images else None,
        image_sizes=torch.tensor([[32, 64]] * 2) if images else None,
        image_from_points=camera if images else None,
    )


def _frame(batch, index):
    chosen = slice(index, index + 1)
    points, dense = (part[part[:, 0] == index].clone() for part in (batch.points, batch.dense_points))
    points[:, 0] = dense[:, 0] = 0
    images = {
        name: None if getattr(batch, name) is None else getattr(batch, name)[chosen]
        for name in ("images", "image_sizes", "image_from_points")
    }
    return Batch(
        frame_ids=batch.frame_ids[chosen],
        points=points,
        seeds=batch.seeds[chosen],
        boxes=batch.boxes[chosen],
        labels=batch.labels[chosen],
        dense_points=dense,
        **images,
    )


def _randomise_norms(model):
    """Give the running statistics values that training would not leave at zero and one."""
    generator = torch.Generator().manual_seed(5)
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.copy_(0.1 * torch.randn(buffer.shape, generator=generator))


def _near_the_boxes(batch, rows=32):
    """Proposals around the objects of every frame, some closer than others."""
    generator = torch.Generator().manual_seed(7)
    frame = torch.arange(2)[:, None]
    index = torch.arange(rows).expand(2, -1) % (batch.labels > 0).sum(dim=1, keepdim=True)
    jitter = torch.linspace(0.02, 0.4, rows)[:, None] * torch.randn(2, rows, 7, generator=generator)
    jitter[..., 3:6] *= 0.2
    return Proposals(batch.boxes[frame, index] + jitter, torch.zeros(2, rows), batch.labels[frame, index])


def _losses(model, batch):
    return model.loss(model(batch), batch)


parts = pytest.mark.parametrize("parts", PARTS.values(), ids=PARTS)


def _batch_for(parts, **options):
    return _batch(images=parts.get("image") is not None, **options)


@pytest.mark.slow
@parts
def test_one_step_lowers_the_loss(parts):
    model, batch = _model(**parts).train(), _batch_for(parts)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    # other proposals would be another problem, so the loss is compared on the same ones
    proposals = _near_the_boxes(batch)
    before = model.loss(model(batch, proposals=proposals), batch)
    assert len(before.stages) == (0 if "roi" in parts else len(parts.get("copies", ())) + 1)
    assert all(stage.box > 0 and stage.chamfer > 0 for stage in before.stages[:1])
    assert (before.occupancy is not None) == ("occupancy" in parts)
    before.total.backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    optimizer.step()
    after = model.loss(model(batch, proposals=proposals), batch)
    assert after.anchors.total < before.anchors.total
    if before.stages:
        assert sum(stage.total for stage in after.stages) < sum(stage.total for stage in before.stages)
    if before.occupancy is not None:
        assert after.occupancy < before.occupancy


@pytest.mark.slow
def test_points_may_have_a_column_more():
    model, batch = _model(**FULL, point_features=5).train(), _batch(images=True)
    time = torch.linspace(0, 1, len(batch.points))[:, None]
    wider = replace(batch, points=torch.cat([batch.points, time], dim=1).requires_grad_())
    losses = model.loss(model(wider, proposals=_near_the_boxes(batch)), wider)
    for part in (losses.anchors.total, losses.occupancy, losses.stages[0].total):
        (gradient,) = torch.autograd.grad(part, wider.points, retain_graph=True)
        assert gradient[:, 5].any()
    with torch.no_grad():
        later = replace(wider, points=torch.cat([batch.points, time + 1], dim=1))
        outputs = [model.eval()(each).anchors.class_logits for each in (wider, later)]
    assert not torch.equal(*outputs)


def test_points_of_other_columns_than_the_models_are_refused():
    with pytest.raises(ValueError, match=r"points has 5 columns, expected 1 \+ 5: the frame and Det"):
        _model(point_features=5).eval()(_batch())
    with pytest.raises(ValueError, match=r"DetectorConfig\.point_features counts x y z, got 2"):
        DetectorConfig(point_features=2)


@pytest.mark.slow
def test_the_total_is_the_sum_of_all_terms():
    model, batch = _model(**FULL).train(), _batch(images=True)
    losses = _losses(model, batch)
    expected = losses.anchors.total + losses.occupancy + sum(stage.total for stage in losses.stages)
    assert len(losses.stages) == 3
    torch.testing.assert_close(losses.total, expected)
    weighted = _model(**FULL | {"occupancy": replace(OCCUPANCY, loss_weight=2.5)}).train()
    torch.testing.assert_close(_losses(weighted, batch).occupancy, 2.5 * losses.occupancy)


@pytest.mark.slow
def test_training_on_one_batch_teaches_proposals_and_occupancy():
    model, batch = _model(occupancy=OCCUPANCY, roi=None).train(), _batch()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    history = []
    for _ in range(25):
        losses = _losses(model, batch)
        optimizer.zero_grad()
        losses.total.backward()
        optimizer.step()
        history.append((losses.anchors.total.item(), losses.occupancy.item()))
    assert history[-1][0] < 0.5 * history[0][0] and history[-1][1] < 0.5 * history[0][1]


@pytest.mark.slow
def test_every_weight_gets_a_gradient():
    model, batch = _model(**FULL).train(), _batch(images=True)
    losses = model.loss(model(batch, proposals=_near_the_boxes(batch)), batch)
    losses.total.backward()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []
    unmoved = [n for n, p in model.named_parameters() if not p.grad.any()]
    # the attention to the image starts with the same offsets for every key
    assert unmoved and all(".fusion.key." in name for name in unmoved)


@pytest.mark.slow
def test_the_proposals_teach_the_occupancy_through_its_guidance():
    model, batch = _model(**FULL).train(), _batch(images=True)
    loss = model.loss(model(batch), batch).anchors.total
    gradients = torch.autograd.grad(loss, list(model.occupancy.head.parameters()))
    assert all(gradient.any() for gradient in gradients)


@pytest.mark.slow
def test_refinement_teaches_neither_proposals_nor_maps():
    model, batch = _model(**FULL).train(), _batch(images=True)
    total = sum(stage.total for stage in model.loss(model(batch), batch).stages)
    untouched = (model.anchors, model.bev, model.guidance, model.occupancy, model.backbone.conv_out)
    weights = [weight for part in untouched for weight in part.parameters()]
    assert all(g is None for g in torch.autograd.grad(total, weights, allow_unused=True))


@pytest.mark.slow
@pytest.mark.parametrize("padding", [0, 16], ids=["one size", "padded"])
@pytest.mark.parametrize("parts", [{}, FULL], ids=["lidar", "full"])
def test_two_frames_together_give_what_each_gives_alone(parts, padding):
    # rounding may swap proposals of equal score, so both sides refine the same ones
    model, batch = _model(**parts).eval(), _batch_for(parts)
    _randomise_norms(model)
    if padding and batch.images is not None:
        batch.images[1, :, -padding:] = batch.images[1, :, :, -padding:] = 0
        batch = replace(batch, image_sizes=torch.tensor([[32, 64], [32 - padding, 64 - padding]]))
    chosen = _near_the_boxes(batch)
    with torch.no_grad():
        joined = model(batch, proposals=chosen)
        for frame in range(2):
            part = slice(frame, frame + 1)
            proposals = Proposals(chosen.boxes[part], chosen.scores[part], chosen.labels[part])
            alone = model(_frame(batch, frame), proposals=proposals)
            for name in ("class_logits", "codes", "direction_logits"):
                expected = getattr(joined.anchors, name)[frame]
                torch.testing.assert_close(getattr(alone.anchors, name)[0], expected, rtol=1e-4, atol=1e-5)
            found, expected = alone.stages[0].predictions, joined.stages[0].predictions
            rows = slice(32 * frame, 32 * frame + 32)
            torch.testing.assert_close(found.points, expected.points[rows], rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(found.boxes[0], expected.boxes[frame], rtol=1e-3, atol=1e-3)


def test_copies_in_one_batch_give_what_each_gives_alone():
    model, batch = _model(copies=COPIES), _batch()
    _freeze_norms(model.train())
    with torch.no_grad():
        alone = model.encode_clouds(batch.points, COPIES, batch_size=2)
        joined = model.eval().encode_clouds(batch.points, COPIES, batch_size=2)
    assert len(alone) == len(joined) == 3
    for one, other in zip(alone, joined, strict=True):
        for name in ("x_conv2", "x_conv4"):
            torch.testing.assert_close(one.scales[name].coords, other.scales[name].coords)
            torch.testing.assert_close(one.scales[name].features, other.scales[name].features)
        torch.testing.assert_close(one.out.dense(), other.out.dense())


def test_a_point_beyond_the_bounds_can_enter_a_copy():
    copy = CloudCopy(rotation_rad=0.5)
    points = torch.tensor([[0.0, 10.0, -14.0, 0.0, 0.5]])  # y below -12.8, but -7.5 once turned
    with torch.no_grad():
        moved, scene = _model(copies=(copy,)).eval().encode_clouds(points, (copy,), batch_size=1)
    assert moved.out.features.shape[0] > 0 and scene.out.features.shape[0] == 0


@pytest.mark.slow
def test_stages_refine_in_the_frames_of_their_copies():
    model, batch = _model(**FULL).eval(), _batch(images=True)
    with torch.no_grad():
        outputs = model(batch)
    assert [stage.copy for stage in outputs.stages] == [*COPIES, CloudCopy()]
    rois = outputs.proposals.boxes
    for stage in outputs.stages:
        torch.testing.assert_close(stage.predictions.rois, stage.copy.boxes(rois))
        torch.testing.assert_close(stage.boxes, stage.copy.restore_boxes(stage.predictions.boxes))
        torch.testing.assert_close(stage.labels, outputs.proposals.labels)
        rois = stage.boxes


@pytest.mark.slow
def test_targets_are_those_of_the_frame_of_the_copy():
    model, batch = _model(**FULL).train(), _batch(images=True)
    outputs = model(batch, proposals=_near_the_boxes(batch))
    assert outputs.stages[0].targets.learns_box.any()
    for stage in outputs.stages:
        targets = stage.targets
        torch.testing.assert_close(targets.rois, stage.predictions.rois)
        placed = stage.copy.boxes(batch.boxes)
        index = targets.box_index[..., None].expand(-1, -1, 7)
        torch.testing.assert_close(targets.boxes, placed.gather(1, index))


def test_the_number_of_copies_does_not_change_the_weights():
    one, three = _model(), _model(copies=COPIES)
    assert [n for n, _ in one.named_parameters()] == [n for n, _ in three.named_parameters()]


@pytest.mark.slow
def test_training_and_evaluation_have_copies_of_their_own():
    model = Detector(replace(_small_config(copies=COPIES), copies_test=COPIES[:1]))
    with torch.no_grad():
        assert len(model.train()(_batch()).stages) == 3
        assert len(model.eval()(_batch()).stages) == 2


@pytest.mark.slow
def test_the_same_seed_gives_the_same_loss_and_another_seed_another():
    batch = _batch()
    first, second = (_losses(_model().train(), batch).total for _ in range(2))
    other = _losses(_model().train(), replace(batch, seeds=torch.tensor([8, 9]))).total
    assert torch.equal(first, second) and not torch.equal(first, other)


@parts
def test_empty_clouds_train_and_predict(parts):
    model, batch = _model(**parts).train(), _batch_for(parts, points=0)
    total = _losses(model, batch).total
    total.backward()
    assert torch.isfinite(total) and all(torch.isfinite(buffer).all() for buffer in model.buffers())
    assert len(model.eval().predict(batch)) == 2


@pytest.mark.slow
@pytest.mark.parametrize("parts", [{"copies": COPIES}, FULL], ids=["copies", "full"])
def test_frames_without_objects_train_on(parts):
    model, batch = _model(**parts).train(), _batch_for(parts, boxes=False)
    losses = _losses(model, replace(batch, dense_points=batch.dense_points[:0]))
    losses.total.backward()
    assert torch.isfinite(losses.total) and losses.anchors.box == 0
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@pytest.mark.slow
def test_nothing_in_view_is_as_good_as_no_picture():
    batch = _batch(images=True)
    behind = batch.image_from_points * torch.tensor([1.0, 1.0, -1.0])[:, None]
    batch = replace(batch, image_from_points=behind)
    other = replace(batch, images=batch.images.flip(3))
    first, second = (_losses(_model(**FULL).train(), seen).total for seen in (batch, other))
    assert torch.isfinite(first) and torch.equal(first, second)


@pytest.mark.slow
@parts
def test_detections_are_boxes_with_scores_in_order(parts):
    model, batch = _model(**parts).eval(), _batch_for(parts)
    model = model.eval()
    found = model.predict(batch)
    with torch.no_grad():
        again = model.detections(model(batch))
    for detections, same in zip(found, again, strict=True):
        assert detections.boxes.shape[1] == 7 and torch.equal(detections.boxes, same.boxes)
        assert detections.scores.tolist() == sorted(detections.scores.tolist(), reverse=True)
        assert ((detections.labels >= 1) & (detections.labels <= 3)).all()


def test_detections_average_boxes_and_logits_over_the_stages():
    model = _model(copies=COPIES[:1], post=PostProcessConfig(class_thresholds=(0.0,) * 3)).eval()
    with torch.no_grad():
        outputs = model(_batch(), proposals=Proposals(*_one_box()))
    first, second = (
        _stage_with(stage, logit=logit, shift=shift)
        for stage, logit, shift in zip(outputs.stages, (2.0, 1.0), (-0.5, 1.5), strict=True)
    )
    for found in model.detections(replace(outputs, stages=(first, second))):
        torch.testing.assert_close(found.boxes, _one_box(shift=0.5)[0][0])
        torch.testing.assert_close(found.scores, torch.tensor([1.5]).sigmoid())
        assert found.labels.tolist() == [2]


def _one_box(shift=0.0):
    box = torch.tensor([10.0 + shift, 0, -1, 4, 2, 1.5, 0.3])
    return box.expand(2, 1, 7), torch.zeros(2, 1), torch.full((2, 1), 2)


def _stage_with(stage, *, logit, shift) -> StageOutputs:
    predictions = replace(stage.predictions, logits=torch.full((2, 1), logit))
    return replace(stage, predictions=predictions, boxes=_one_box(shift)[0])


def test_the_detections_of_one_stage_are_its_proposals():
    everything = PostProcessConfig(score_threshold=0.0, class_thresholds=(0.0,) * 3)
    model, batch = _model(roi=None, post=everything).eval(), _batch()
    with torch.no_grad():
        outputs = model(batch)
    assert outputs.stages == ()
    for frame, found in enumerate(model.detections(outputs)):
        proposals = outputs.proposals.boxes[frame]
        assert len(found.boxes) and (found.boxes[:, None] == proposals).all(-1).any(1).all()


@pytest.mark.slow
@parts
def test_half_precision_is_near_single(parts):
    batch = _batch_for(parts)
    chosen, losses = _near_the_boxes(batch), []
    for enabled in (False, True):
        model = _model(**parts).train()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            outputs = model(batch, proposals=chosen)
            losses.append(model.loss(outputs, batch))
        losses[-1].total.backward()
        assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
        for stage in outputs.stages:
            assert stage.boxes.dtype == stage.predictions.points.dtype == torch.float32
        # places, targets and losses are not rounded to half precision
        torch.testing.assert_close(
            [stage.targets.boxes for stage in outputs.stages],
            [stage.copy.boxes(stage.copy.restore_boxes(stage.targets.boxes)) for stage in outputs.stages],
        )
    single, half = losses
    torch.testing.assert_close(half.total, single.total, rtol=0.03, atol=0)
    assert half.total.dtype == torch.float32


def test_predicting_in_training_mode_is_refused():
    with pytest.raises(ValueError, match=r"in training mode; call .eval\(\) first"):
        _model().train().predict(_batch())


def test_training_without_boxes_is_refused():
    model, batch = _model().train(), replace(_batch(), boxes=None, labels=None)
    with pytest.raises(ValueError, match=r"training mode needs Batch\.boxes"):
        model(batch)
    with pytest.raises(ValueError, match=r"Detector\.loss: Batch\.boxes is None"):
        model.loss(model.eval()(batch), batch)


@pytest.mark.slow
@pytest.mark.parametrize("parts", [{}, {"occupancy": OCCUPANCY, "roi": None}], ids=["points", "occupancy"])
def test_missing_dense_points_are_refused_unless_nothing_learns_from_them(parts):
    model, batch = _model(**parts).train(), replace(_batch(), dense_points=None)
    with pytest.raises(ValueError, match=r"dense_points is None.*python -m datasets3d complete kitti"):
        _losses(model, batch)
    without = _roi_config(None)
    without = replace(without, losses=replace(without.losses, chamfer_weight=0.0))
    model = _model(occupancy=replace(OCCUPANCY, loss_weight=0.0), roi=without).train()
    losses = _losses(model, batch)
    losses.total.backward()
    assert losses.occupancy is None and losses.stages[0].chamfer == 0 and losses.total > 0


def test_the_loss_of_evaluation_outputs_is_refused():
    model, batch = _model().eval(), _batch()
    with pytest.raises(ValueError, match="outputs of evaluation mode have no targets"):
        model.loss(model(batch), batch)


def test_an_image_model_without_images_is_refused():
    with pytest.raises(ValueError, match="this model has an image branch but the batch has no images"):
        _model(image=IMAGE).eval()(_batch())


def test_an_image_branch_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"offers None channels but roi\.image_channels is 64; .*with_image"):
        DetectorConfig(image=None)
    with pytest.raises(ValueError, match=r"offers 16 channels but occupancy\.channels is 64"):
        DetectorConfig(image=IMAGE, roi=_roi_config(IMAGE))
    assert with_image(with_image(DetectorConfig(), None), ImageBackboneConfig()) == DetectorConfig()


def test_parts_for_different_numbers_of_classes_are_refused():
    with pytest.raises(ValueError, match=r"one entry per class, got \{'anchors.classes': 2"):
        replace(DetectorConfig(), anchors=AnchorHeadConfig(classes=KITTI_ANCHORS[:2]))


def _freeze_norms(model):
    """Normalise with fixed statistics: those of a batch would differ between ranks."""
    for module in model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.eval()


def _gradients(rank=None):
    """Gradients on both frames or one of them, of proposals near the objects."""
    model, batch = _model(**FULL).train(), _batch(images=True)
    _freeze_norms(model)
    chosen = _near_the_boxes(batch)
    if rank is not None:
        part = slice(rank, rank + 1)
        batch = _frame(batch, rank)
        chosen = Proposals(chosen.boxes[part], chosen.scores[part], chosen.labels[part])
    losses = model.loss(model(batch, proposals=chosen), batch)
    assert all(stage.box > 0 and stage.point > 0 for stage in losses.stages)
    losses.total.backward()
    return {n: p.grad for n, p in model.named_parameters()}


def _mean_gradients(rank):
    gradients = _gradients(rank)
    for gradient in gradients.values():
        torch.distributed.all_reduce(gradient)
    return {name: gradient / 2 for name, gradient in gradients.items()}


@pytest.mark.slow
def test_gradients_of_two_processes_are_those_of_the_joined_batch(on_two_ranks):
    found, joined = on_two_ranks(_mean_gradients), _gradients()
    assert found.keys() == joined.keys()
    for name, gradient in joined.items():
        torch.testing.assert_close(
            found[name], gradient, rtol=1e-3, atol=1e-5 + 1e-4 * gradient.abs().max(), msg=name
        )
