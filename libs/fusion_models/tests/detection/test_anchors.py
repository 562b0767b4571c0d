import numpy as np
import pytest
import torch
from fusion_models.detection.anchors import (
    KITTI_ANCHORS,
    AnchorClass,
    anchor_grid,
    assign_anchors,
    nearest_bev_iou,
)
from fusion_models.detection.box_coder import decode_boxes
from fusion_models.detection.box_losses import direction_bins

BOUNDS = (0.0, -40.0, -3.0, 70.4, 40.0, 1.0)
CAR = (AnchorClass("Car", (3.9, 1.6, 1.56), -1.78, 0.60, 0.45),)


@pytest.fixture(scope="module")
def kitti_grid():
    return anchor_grid(KITTI_ANCHORS, rotations_rad=(0.0, 1.57), bounds=BOUNDS, map_size_yx=(200, 176))


def _car_grid(rows=8, columns=8):
    return anchor_grid(
        CAR, rotations_rad=(0.0, 1.57), bounds=(0.0, -4.0, -3.0, 8.0, 4.0, 1.0), map_size_yx=(rows, columns)
    )


def _boxes(*rows):
    return torch.tensor([rows], dtype=torch.float32)


@pytest.mark.golden
def test_anchors_equal_the_released_ones(kitti_grid, imagepg_golden):
    every = kitti_grid.reshape(-1, 7)[::211]
    np.testing.assert_allclose(
        every, imagepg_golden("eval_batched")["anchors_every211"], rtol=1e-5, atol=2e-5
    )


@pytest.mark.golden
def test_targets_equal_the_released_ones(kitti_grid, imagepg_golden):
    inputs, golden = imagepg_golden("train_inputs"), imagepg_golden("train")
    gt = torch.from_numpy(inputs["batch_gt_boxes"])
    targets = assign_anchors(kitti_grid, gt[..., :7], gt[..., 7].long(), classes=KITTI_ANCHORS)
    counts = [[int((labels == k).sum()) for k in (-1, 0, 1, 2, 3)] for labels in targets.labels]
    assert counts == golden["rpn_label_counts"].tolist()
    positives = golden["rpn_positive_index_frame_anchor_label"]
    rows = torch.stack([targets.frame_index, targets.anchor_index], dim=1)
    assert rows.tolist() == positives[:, :2].tolist()
    assert targets.labels[targets.frame_index, targets.anchor_index].tolist() == positives[:, 2].tolist()
    assert (targets.labels == -1).nonzero().tolist() == golden["rpn_ignored_index"].tolist()
    np.testing.assert_allclose(targets.codes, golden["rpn_positive_box_targets"], rtol=1e-4, atol=1e-5)
    bins = direction_bins(targets.yaw_rad, offset_rad=0.78539)
    assert bins.tolist() == golden["rpn_positive_dir_bin"].tolist()


def test_first_and_last_anchor_lie_on_the_bounds(kitti_grid):
    assert kitti_grid.reshape(-1, 7).shape[0] == 211200
    assert kitti_grid[0, 0, 0, 0, :2].tolist() == [0.0, -40.0]
    np.testing.assert_allclose(kitti_grid[-1, -1, 0, 0, :2], [70.4, 40.0])


def test_nearest_bev_iou_turns_boxes_to_the_nearest_axis():
    box = torch.tensor([[1.0, 1, 0, 4, 2, 1, 0.7]])
    others = torch.tensor([[1.0, 1, 0, 4, 2, 1, 0.0], [1, 1, 0, 2, 4, 1, 1.5], [1, 1, 0, 2, 4, 1, 0.7]])
    np.testing.assert_allclose(nearest_bev_iou(box, others)[0], [1, 1, 1 / 3], rtol=1e-6)


def test_an_anchor_on_its_box_is_positive_and_its_code_gives_the_box_back():
    grid, boxes = _car_grid(), _boxes([4.0, 0.5, -0.9, 3.8, 1.7, 1.5, 0.1])
    targets = assign_anchors(grid, boxes, torch.tensor([[1]]), classes=CAR)
    assert len(targets.anchor_index) > 0
    decoded = decode_boxes(targets.codes, grid.reshape(-1, 7)[targets.anchor_index])
    torch.testing.assert_close(decoded, boxes[0].expand_as(decoded))


def test_a_small_box_forces_its_best_anchor():
    boxes = _boxes([4.0, 0.5, -0.9, 0.5, 0.5, 1.5, 0.0])
    targets = assign_anchors(_car_grid(), boxes, torch.tensor([[1]]), classes=CAR)
    best = nearest_bev_iou(_car_grid().reshape(-1, 7), boxes[0])[:, 0]
    assert 0 < best.max() < 0.45
    assert targets.anchor_index.tolist() == (best == best.max()).nonzero()[:, 0].tolist()


def test_a_box_out_of_reach_forces_nothing():
    boxes = _boxes([40.0, 0.0, 0.0, 1, 1, 1, 0.0])
    targets = assign_anchors(_car_grid(), boxes, torch.tensor([[1]]), classes=CAR)
    assert (targets.labels == 0).all() and len(targets.codes) == 0


@pytest.mark.parametrize("count", [0, 2])
def test_frames_without_boxes_are_background(count):
    targets = assign_anchors(
        _car_grid(), torch.zeros(2, count, 7), torch.zeros(2, count, dtype=torch.int64), classes=CAR
    )
    assert (targets.labels == 0).all() and targets.codes.shape == (0, 7)


def test_boxes_only_count_for_the_anchors_of_their_class():
    grid = anchor_grid(
        KITTI_ANCHORS, rotations_rad=(0.0,), bounds=(0.0, -4.0, -3.0, 8.0, 4.0, 1.0), map_size_yx=(8, 8)
    )
    boxes = _boxes([4.0, 0.5, -0.9, 3.9, 1.6, 1.5, 0.0])
    targets = assign_anchors(grid, boxes, torch.tensor([[2]]), classes=KITTI_ANCHORS)
    assert set(targets.labels.view(8, 8, 3)[..., 1].unique().tolist()) <= {-1, 0, 2}
    assert (targets.labels.view(8, 8, 3)[..., [0, 2]] == 0).all()


def test_a_map_of_one_row_is_refused():
    with pytest.raises(ValueError, match="at least 2 x 2"):
        _car_grid(rows=1)


def test_a_flat_anchor_is_refused():
    with pytest.raises(ValueError, match="'Car': size must be positive"):
        AnchorClass("Car", (0.0, 1.0, 1.0), 0.0, 0.6, 0.45)


def test_crossed_thresholds_are_refused():
    with pytest.raises(ValueError, match="unmatched_iou <= matched_iou"):
        AnchorClass("Car", (1.0, 1.0, 1.0), 0.0, 0.4, 0.45)
