from pathlib import Path

import numpy as np
import pytest
import torch
from fusion_models.detection.post_process import PostProcessConfig, post_process

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "detector_units.npz")


def _tensors(*names):
    return [torch.from_numpy(GOLDEN[name]) for name in names]


def test_detections_equal_the_released_ones():
    boxes, logits, labels = _tensors("post_boxes", "post_logits", "post_labels_in")
    found = post_process(boxes, logits[..., 0], labels.long(), config=PostProcessConfig())
    for frame in range(2):
        np.testing.assert_allclose(found[frame].boxes, GOLDEN[f"post_f{frame}_pred_boxes"], rtol=1e-6)
        np.testing.assert_allclose(found[frame].scores, GOLDEN[f"post_f{frame}_pred_scores"], rtol=1e-6)
        np.testing.assert_array_equal(found[frame].labels, GOLDEN[f"post_f{frame}_pred_labels"])


def test_a_low_score_threshold_shows_what_suppression_alone_keeps():
    boxes, logits, labels = _tensors("post_boxes", "post_logits", "post_labels_in")
    config = PostProcessConfig(class_thresholds=(0.0, 0.0, 0.0))
    found = post_process(boxes, logits[..., 0], labels.long(), config=config)
    for frame in range(2):
        kept = GOLDEN[f"post_f{frame}_kept_by_nms_before_0.3"]
        np.testing.assert_allclose(found[frame].boxes, GOLDEN["post_boxes"][frame, kept], rtol=1e-6)


@pytest.mark.golden
def test_voted_boxes_become_the_released_detections(imagepg_golden):
    golden = imagepg_golden("eval_batched")
    boxes, logits = torch.from_numpy(golden["voted_boxes"]), torch.from_numpy(golden["voted_logits"])
    labels = torch.from_numpy(golden["proposals_roi_labels"]).long()
    found = post_process(boxes, logits[..., 0], labels, config=PostProcessConfig())
    for frame in range(2):
        np.testing.assert_allclose(found[frame].boxes, golden[f"final_f{frame}_pred_boxes"], rtol=1e-5)
        np.testing.assert_allclose(found[frame].scores, golden[f"final_f{frame}_pred_scores"], rtol=1e-5)
        np.testing.assert_array_equal(found[frame].labels, golden[f"final_f{frame}_pred_labels"])


def test_each_class_has_its_own_threshold_and_padding_is_never_found():
    boxes = torch.zeros(1, 4, 7)
    boxes[0, :, 0], boxes[0, :, 3:6] = torch.arange(4.0) * 10, 1.0
    config = PostProcessConfig(class_thresholds=(0.9, 0.3, 0.3))
    found = post_process(boxes, torch.ones(1, 4), torch.tensor([[1, 2, 3, 0]]), config=config)
    assert found[0].labels.tolist() == [2, 3]


def test_a_frame_without_boxes_has_no_detections():
    nothing = post_process(
        torch.zeros(1, 0, 7),
        torch.zeros(1, 0),
        torch.zeros(1, 0, dtype=torch.int64),
        config=PostProcessConfig(),
    )
    assert nothing[0].boxes.shape == (0, 7)


def test_a_label_without_threshold_is_refused():
    with pytest.raises(ValueError, match=r"label 4 but PostProcessConfig\.class_thresholds has 3 entries"):
        post_process(torch.zeros(1, 1, 7), torch.zeros(1, 1), torch.tensor([[4]]), config=PostProcessConfig())
