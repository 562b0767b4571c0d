from pathlib import Path

import numpy as np
import pytest
import torch
from fusion_models.detection.anchor_head import AnchorHeadConfig, AnchorOutputs, decode_anchors
from fusion_models.detection.anchors import KITTI_ANCHORS, anchor_grid
from fusion_models.detection.proposals import (
    TEST_PROPOSALS,
    ProposalConfig,
    best_candidates,
    propose,
    suppress,
)
from geom3d.overlap import iou_bev

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "detector_units.npz")


def _proposals(config):
    boxes, logits = torch.from_numpy(GOLDEN["prop_boxes"]), torch.from_numpy(GOLDEN["prop_logits"])
    scores, labels, order = best_candidates(logits, pre_max=config.pre_max)
    return suppress(boxes.gather(1, order[..., None].expand(-1, -1, 7)), scores, labels, config=config)


def test_test_proposals_equal_the_released_ones():
    proposals = _proposals(TEST_PROPOSALS)
    np.testing.assert_allclose(proposals.scores, GOLDEN["prop_test_roi_scores"], rtol=1e-6)
    np.testing.assert_allclose(proposals.boxes, GOLDEN["prop_test_rois"], rtol=1e-6)
    np.testing.assert_array_equal(proposals.labels, GOLDEN["prop_test_roi_labels"])


def test_train_proposals_equal_the_released_ones_but_for_a_box_at_the_threshold():
    # the released overlap has a slack of 1 cm at the corners; ours is exact: one pair of 0.79994 lies between
    proposals = _proposals(ProposalConfig(post_max=513))
    at_the_threshold = 0
    for frame in range(2):
        rows = np.flatnonzero(
            ~np.isin(proposals.scores[frame], GOLDEN["prop_train_roi_scores"][frame])
        ).tolist()
        rows = [row for row in rows if row < 512]
        boxes = proposals.boxes[frame].double().numpy()
        for row in rows:
            overlap = iou_bev(boxes[row : row + 1], boxes[:row]).max()
            assert 0.799 < overlap < 0.8
        at_the_threshold += len(rows)
        same = np.delete(np.arange(513), rows)[:512]
        np.testing.assert_allclose(boxes[same], GOLDEN["prop_train_rois"][frame], rtol=1e-6)
        np.testing.assert_array_equal(proposals.labels[frame, same], GOLDEN["prop_train_roi_labels"][frame])
    assert at_the_threshold == 1


def test_rows_without_a_proposal_are_zero_with_label_zero():
    boxes = torch.tensor([[[0.0, 0, 0, 2, 2, 2, 0], [9.0, 0, 0, 2, 2, 2, 0]]])
    proposals = suppress(
        boxes,
        torch.tensor([[2.0, 1.0]]),
        torch.tensor([[1, 3]]),
        config=ProposalConfig(pre_max=5, threshold=0.5, post_max=4),
    )
    assert proposals.labels.tolist() == [[1, 3, 0, 0]]
    assert (proposals.boxes[0, 2:] == 0).all() and (proposals.scores[0, 2:] == 0).all()


def test_candidates_with_equal_scores_come_in_the_order_of_their_rows():
    _, _, rows = best_candidates(torch.zeros(1, 6, 2), pre_max=4)
    assert rows.tolist() == [[0, 1, 2, 3]]


def test_decoding_after_the_choice_equals_decoding_everything():
    torch.manual_seed(0)
    head = AnchorHeadConfig()
    anchors = anchor_grid(
        KITTI_ANCHORS, rotations_rad=(0.0, 1.57), bounds=(0.0, -4.0, -3.0, 8.0, 4.0, 1.0), map_size_yx=(4, 5)
    )
    outputs = AnchorOutputs(
        torch.randn(2, 120, 3), 0.1 * torch.randn(2, 120, 7), torch.randn(2, 120, 2), anchors
    )
    config = ProposalConfig(pre_max=50, threshold=0.3, post_max=10)
    everything = decode_anchors(outputs, head, indices=torch.arange(120).expand(2, -1))
    best, classes = outputs.class_logits.max(dim=2)
    proposals = propose(outputs, head, config=config)
    assert not proposals.boxes.requires_grad
    for frame in range(2):
        for box, score, label in zip(
            proposals.boxes[frame], proposals.scores[frame], proposals.labels[frame], strict=True
        ):
            row = int((best[frame] == score).nonzero()[0, 0])
            torch.testing.assert_close(everything[frame, row], box)
            assert classes[frame, row] + 1 == label


def test_a_limit_of_zero_is_refused():
    with pytest.raises(ValueError, match="pre_max and post_max must be at least 1, got 0"):
        ProposalConfig(pre_max=0)
