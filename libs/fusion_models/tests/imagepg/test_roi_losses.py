import dataclasses
import math

import numpy as np
import pytest
import torch
from fusion_models.detection.box_coder import decode_boxes
from fusion_models.detection.roi_outputs import RoiOutputs, decode_rois
from fusion_models.detection.roi_targets import RoiTargets
from fusion_models.imagepg.roi_losses import (
    RoiLossConfig,
    box_loss,
    chamfer_distance,
    chamfer_loss,
    corner_loss,
    overlap_loss,
    point_labels,
    point_loss,
    relative_boxes,
    roi_loss,
)

CONFIG = RoiLossConfig(sample_points=512)
BOXES_ONLY = dataclasses.replace(CONFIG, point_weight=0.0, chamfer_weight=0.0)


def _tensor(array):
    return torch.from_numpy(np.ascontiguousarray(array))


def _golden_stage(golden, stage):
    prefix = f"stage{stage}_target_"
    targets = RoiTargets(
        index=_tensor(np.stack([golden[f"stage{stage}_sampled_index_f{i}"] for i in range(2)])).long(),
        rois=_tensor(golden[prefix + "rois"]),
        labels=_tensor(golden[prefix + "roi_labels"]).long(),
        scores=_tensor(golden[prefix + "roi_scores"]),
        ious=_tensor(golden[prefix + "gt_iou_of_rois"]),
        box_index=_tensor(golden[prefix + "gt_idx_of_rois"]).long(),
        boxes=_tensor(golden[prefix + "gt_of_rois_src"])[..., :7],
        score_targets=_tensor(golden[prefix + "rcnn_cls_labels"]),
        learns_box=_tensor(golden[prefix + "reg_valid_mask"]).bool(),
    )
    points = np.zeros((48, 216, 5), np.float32)
    points = _tensor(golden.get(f"stage{stage}_rebuilt_points", points))
    outputs = RoiOutputs(
        rois=targets.rois,
        logits=_tensor(golden[f"stage{stage}_rcnn_cls"]),
        deltas=_tensor(golden[f"stage{stage}_rcnn_reg"]),
        points=points[..., 1:4],
        point_logits=points[..., 4],
        boxes=targets.rois,
        feature=torch.zeros(48, 1),
    )
    return outputs, targets, _tensor(golden[f"stage{stage}_gt_boxes"])[..., :7]


@pytest.mark.golden
@pytest.mark.parametrize("stage", range(4))
def test_box_and_score_losses_equal_the_released_ones(imagepg_golden, stage):
    golden = imagepg_golden("train")
    outputs, targets, boxes = _golden_stage(golden, stage)
    losses = roi_loss(outputs, targets, None, boxes, BOXES_ONLY)
    score, box_total, corner, *_ = golden[
        f"stage{stage}_losses_cls_regtotal_corner1x_pointcls_chamfer_nfg_nchamfer"
    ]
    smooth_l1, overlap = golden[f"stage{stage}_loss_smoothl1_od"]
    np.testing.assert_allclose(losses.score, score, rtol=1e-3)
    np.testing.assert_allclose(losses.corner, corner, rtol=1e-3)
    np.testing.assert_allclose(losses.box, smooth_l1, rtol=1e-3)
    np.testing.assert_allclose(losses.overlap, overlap, rtol=1e-3)
    np.testing.assert_allclose(losses.box + losses.overlap + losses.corner, box_total, rtol=1e-3)
    np.testing.assert_allclose(losses.total, score + box_total + corner, rtol=1e-3)


@pytest.mark.golden
@pytest.mark.parametrize("stage", [0, 3])
def test_point_losses_equal_the_released_ones(imagepg_golden, stage):
    golden, inputs = imagepg_golden("train"), imagepg_golden("train_inputs")
    outputs, targets, boxes = _golden_stage(golden, stage)
    # the last stage is the untransformed cloud; the first one stores its own target points
    name = f"stage{stage}_target_points"
    dense = _tensor(golden[name] if name in golden else inputs["batch_bm_points"])
    losses = roi_loss(outputs, targets, dense, boxes, CONFIG)
    *_, point, chamfer, _, _ = golden[
        f"stage{stage}_losses_cls_regtotal_corner1x_pointcls_chamfer_nfg_nchamfer"
    ]
    np.testing.assert_allclose(losses.point, point, rtol=1e-3)
    np.testing.assert_allclose(losses.chamfer, chamfer, rtol=1e-3)
    ignored = dataclasses.replace(CONFIG, ring_labels="ignored")
    intended = point_loss(outputs.points, outputs.point_logits, boxes, config=ignored)
    np.testing.assert_allclose(intended, golden[f"stage{stage}_point_cls_loss_intended"], rtol=1e-3)


@pytest.mark.golden
def test_overlap_and_corner_losses_equal_the_released_units(imagepg_golden):
    golden = imagepg_golden("mr_and_boxes")
    first, second = _tensor(golden["coder_anchor"]), _tensor(golden["coder_box"])
    np.testing.assert_allclose(
        corner_loss(first, second), golden["corner_loss_per_box"], rtol=1e-4, atol=1e-5
    )
    np.testing.assert_allclose(overlap_loss(first, second), golden["od_loss_per_box"], rtol=1e-4, atol=1e-5)


@pytest.mark.golden
def test_chamfer_distance_equals_the_released_one(imagepg_golden):
    golden = imagepg_golden("ops")
    source = _tensor(golden["cd_source"]).requires_grad_()
    distance = chamfer_distance(
        source, _tensor(golden["cd_target_padded"]), _tensor(golden["cd_lengths"]).long()
    )
    distance.sum().backward()
    np.testing.assert_allclose(distance.sum().detach(), golden["cd_sum"], rtol=1e-5)
    np.testing.assert_allclose(source.grad, golden["cd_grad_source"], atol=1e-5)


def _roi(**changes):
    values = {"x": 10.0, "y": -3.0, "z": -1.0, "dx": 4.0, "dy": 2.0, "dz": 1.5, "yaw": 0.4} | changes
    return torch.tensor([list(values.values())])


@pytest.mark.parametrize("turn", [0.0, math.pi, -math.pi])
def test_all_box_losses_vanish_at_the_object_or_its_reverse(turn):
    roi, box = _roi(), _roi(x=10.3, yaw=0.5)
    local = relative_boxes(box, roi)
    deltas = torch.cat(
        [(local[:, :2] / 20**0.5), local[:, 2:3] / 1.5, torch.zeros(1, 3), local[:, 6:]], dim=1
    )
    target = box + torch.tensor([0, 0, 0, 0, 0, 0, turn])
    torch.testing.assert_close(box_loss(deltas, roi, target), torch.zeros(1), atol=1e-5, rtol=0)
    torch.testing.assert_close(
        corner_loss(decode_rois(deltas, roi), target), torch.zeros(1), atol=1e-5, rtol=0
    )
    decoded = decode_boxes(deltas, torch.cat([torch.zeros(1, 3), roi[:, 3:6], torch.zeros(1, 1)], dim=1))
    overlap = overlap_loss(decoded, relative_boxes(target, roi))
    torch.testing.assert_close(overlap, torch.zeros(1), atol=1e-4, rtol=0)


def test_ring_points_are_foreground_as_published_or_ignored():
    box = torch.tensor([[0.0, 0, 0, 2, 2, 2, 0], [0] * 7])
    points = torch.tensor([[0.9, 0, 0], [1.05, 0, 0], [1.2, 0, 0], [0.0, 0, 0]])
    assert point_labels(points, box, config=CONFIG).tolist() == [1, 1, 0, 1]
    ignored = dataclasses.replace(CONFIG, ring_labels="ignored")
    assert point_labels(points, box, config=ignored).tolist() == [1, -1, 0, 1]
    assert point_labels(points, box[1:], config=CONFIG).tolist() == [0, 0, 0, 0]


def _stage(rois, foreground, *, points=8):
    boxes = torch.cat([_roi(), torch.zeros(1, 7)])[None]
    n = rois * 1
    targets = RoiTargets(
        index=torch.zeros(1, rois, dtype=torch.int64),
        rois=_roi(x=10.2).expand(1, rois, 7),
        labels=torch.ones(1, rois, dtype=torch.int64),
        scores=torch.zeros(1, rois),
        ious=torch.zeros(1, rois),
        box_index=torch.zeros(1, rois, dtype=torch.int64),
        boxes=_roi().expand(1, rois, 7),
        score_targets=torch.zeros(1, rois),
        learns_box=torch.arange(rois)[None] < foreground,
    )
    torch.manual_seed(0)
    leaves = [
        torch.randn(n, 1),
        0.1 * torch.randn(n, 7),
        _roi()[:, None, :3] + torch.randn(n, points, 3),
        torch.randn(n, points),
    ]
    logits, deltas, xyz, point_logits = (leaf.requires_grad_() for leaf in leaves)
    outputs = RoiOutputs(
        rois=targets.rois, logits=logits, deltas=deltas, points=xyz, point_logits=point_logits,
        boxes=targets.rois, feature=torch.zeros(n, 1),
    )  # fmt: skip
    return outputs, targets, boxes, leaves


@pytest.mark.parametrize(("rois", "foreground"), [(0, 0), (1, 0), (1, 1), (3, 2)])
@pytest.mark.parametrize("dense", [0, 40])
def test_losses_and_gradients_are_finite_whatever_is_missing(rois, foreground, dense):
    outputs, targets, boxes, leaves = _stage(rois, foreground)
    points = torch.cat([torch.zeros(dense, 1), _roi()[:, :3] + torch.rand(dense, 3) - 0.5], 1)
    losses = roi_loss(outputs, targets, points, boxes, CONFIG)
    losses.total.backward()
    assert losses.total.isfinite()
    assert all(leaf.grad is None or leaf.grad.isfinite().all() for leaf in leaves)
    assert bool(losses.box > 0) == bool(foreground)
    assert bool(losses.chamfer > 0) == bool(foreground and dense)


def test_autocast_changes_no_loss():
    outputs, targets, boxes, _ = _stage(3, 2)
    dense = torch.cat([torch.zeros(30, 1), _roi()[:, :3] + 0.1 * torch.rand(30, 3)], dim=1)
    expected = roi_loss(outputs, targets, dense, boxes, CONFIG)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert roi_loss(outputs, targets, dense, boxes, CONFIG) == expected


def test_a_perfect_prediction_has_a_finite_gradient():
    outputs, targets, boxes, _ = _stage(1, 1)
    targets = dataclasses.replace(targets, rois=targets.boxes)
    deltas = torch.zeros(1, 7, requires_grad=True)
    losses = roi_loss(dataclasses.replace(outputs, deltas=deltas), targets, None, boxes, BOXES_ONLY)
    losses.total.backward()
    assert deltas.grad.isfinite().all()


def test_missing_dense_points_are_an_error_unless_no_loss_wants_them():
    outputs, targets, boxes, leaves = _stage(3, 2)
    with pytest.raises(ValueError, match=r"dense_points is None; .* datasets3d complete kitti.*weight 0"):
        roi_loss(outputs, targets, None, boxes, CONFIG)
    without = roi_loss(outputs, targets, None, boxes, dataclasses.replace(CONFIG, chamfer_weight=0.0))
    assert without.chamfer == 0 and without.point > 0
    without.total.backward()
    assert leaves[2].grad is None and leaves[3].grad.any()


def test_a_head_without_points_has_the_losses_of_boxes_alone():
    outputs, targets, boxes, _ = _stage(3, 2)
    plain = dataclasses.replace(outputs, points=None, point_logits=None)
    losses, expected = (
        roi_loss(*args)
        for args in ((plain, targets, None, boxes, CONFIG), (outputs, targets, None, boxes, BOXES_ONLY))
    )
    assert losses.point == 0 and losses.chamfer == 0
    assert losses == expected


def test_point_loss_is_normalised_over_the_whole_batch():
    boxes = torch.stack([_roi(), torch.zeros(1, 7)])
    points = torch.cat([_roi()[:, None, :3].expand(1, 4, 3), torch.zeros(1, 4, 3) + 5.0])
    logits = torch.zeros(2, 4)
    # 4 positives of 0.25 / 4 ln 2 and 4 negatives of 0.75 / 4 ln 2, over 4: not 4 over 4 and 4 over 1
    loss = point_loss(points, logits, boxes, config=CONFIG)
    torch.testing.assert_close(loss, torch.tensor(math.log(2) / 4))


def test_a_dense_point_belongs_to_the_first_box_that_holds_it():
    outputs, targets, _, _ = _stage(1, 1)
    both = torch.cat([_roi(), _roi(x=11.0)])[None]
    dense = torch.cat([torch.zeros(20, 1), _roi()[:, :3] + 0.1 * torch.rand(20, 3)], dim=1)
    first = chamfer_loss(outputs.points, targets, dense, both, config=CONFIG)
    assert first > 0
    second = dataclasses.replace(targets, box_index=torch.ones_like(targets.box_index))
    assert chamfer_loss(outputs.points, second, dense, both, config=CONFIG) == 0
    torch.testing.assert_close(
        chamfer_loss(outputs.points, targets, dense, both.flip(1), config=CONFIG), first
    )


def test_chamfer_leaves_out_objects_with_few_points():
    outputs, targets, boxes, _ = _stage(2, 2)
    dense = torch.cat([torch.zeros(9, 1), _roi()[:, :3] + 0.1 * torch.rand(9, 3)], dim=1)
    assert chamfer_loss(outputs.points, targets, dense, boxes, config=CONFIG) == 0
    few = dataclasses.replace(CONFIG, min_chamfer_points=9)
    expected = chamfer_distance(
        outputs.points, dense[None, :, 1:].expand(2, 9, 3), torch.tensor([9, 9])
    ).mean()
    torch.testing.assert_close(chamfer_loss(outputs.points, targets, dense, boxes, config=few), expected)


def test_chunks_of_any_size_give_the_same_chamfer(monkeypatch):
    outputs, targets, boxes, _ = _stage(5, 4)
    dense = torch.cat([torch.zeros(30, 1), _roi()[:, :3] + 0.1 * torch.rand(30, 3)], dim=1)
    whole = chamfer_loss(outputs.points, targets, dense, boxes, config=CONFIG)
    monkeypatch.setattr("fusion_models.imagepg.roi_losses._CHUNK_PAIRS", 500)
    torch.testing.assert_close(chamfer_loss(outputs.points, targets, dense, boxes, config=CONFIG), whole)


def test_config_refuses_an_empty_sample():
    with pytest.raises(ValueError, match="sample_points must be positive"):
        RoiLossConfig(sample_points=0)
