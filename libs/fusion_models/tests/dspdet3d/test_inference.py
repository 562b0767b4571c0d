from dataclasses import replace

import torch
from fusion_models.dspdet3d import DSPDet3DConfig, DSPDet3DOutputs, LevelOutputs, detect
from fusion_models.dspdet3d.inference import best_of_classes, decode_boxes

CONFIG = DSPDet3DConfig(class_names=("cup", "table"), score_threshold=0.1)
LIMITS = {"score_threshold": 0.1, "nms_iou": 0.5, "nms_overlap": "bev"}


def level(scores, rooms, *, x=0.0, stride=4) -> LevelOutputs:
    """Voxels 10 m apart along x with boxes of 1 m, the first of them at x."""
    scores = torch.tensor(scores, dtype=torch.float32).view(-1, 2)
    count = len(scores)
    points = torch.zeros(count, 3)
    points[:, 0] = x + 10 * torch.arange(count)
    return LevelOutputs(
        points=points,
        batch_indices=torch.tensor(rooms, dtype=torch.int64),
        cells=torch.zeros(count, 4, dtype=torch.int32),
        boxes_raw=torch.zeros(count, 6),
        class_logits=scores.logit(),
        prune_logits=None,
        stride=stride,
    )


def test_boxes_are_decoded_in_single_precision():
    points = torch.tensor([[1.0, 2.0, 3.0]])
    raw = torch.tensor([[0.1, -0.2, 0.3, 0.0, 1.0, -8.0]]).bfloat16()
    boxes = decode_boxes(points, raw)
    assert boxes.dtype == torch.float32
    expected = torch.cat([points + raw.float()[:, :3], raw.float()[:, 3:].exp()], 1)
    assert torch.equal(boxes, expected)


def test_rooms_have_their_own_objects_of_all_levels_best_first():
    fine = level([[0.9, 0.0], [0.2, 0.7], [0.05, 0.05]], [0, 2, 2])
    coarse = level([[0.3, 0.95]], [0], x=500.0, stride=8)
    first, second, third, fourth = detect(DSPDet3DOutputs((fine, coarse)), CONFIG, 4)
    torch.testing.assert_close(first.scores, torch.tensor([0.95, 0.9, 0.3]))
    assert first.labels.tolist() == [1, 0, 0] and first.boxes[:, 0].tolist() == [500.0, 0.0, 500.0]
    assert third.labels.tolist() == [1, 0] and third.boxes[:, 0].tolist() == [10.0, 10.0]
    for empty in (second, fourth):
        assert len(empty) == 0 and empty.boxes.shape == (0, 6) and empty.labels.dtype == torch.int64


def test_the_best_voxels_of_all_levels_together_count():
    fine = level([[0.5, 0.0], [0.9, 0.0]], [0, 0])
    coarse = level([[0.7, 0.0], [0.6, 0.0]], [0, 0], x=500.0)
    (found,) = detect(DSPDet3DOutputs((fine, coarse)), replace(CONFIG, nms_pre=2), 1)
    assert found.boxes[:, 0].tolist() == [10.0, 500.0]


def test_of_equally_good_voxels_the_coarser_and_the_first_count():
    fine, coarse = level([[0.5, 0.0]] * 2, [0, 0]), level([[0.5, 0.0]] * 2, [0, 0], x=500.0)
    (found,) = detect(DSPDet3DOutputs((fine, coarse)), replace(CONFIG, nms_pre=3), 1)
    assert sorted(found.boxes[:, 0].tolist()) == [0.0, 500.0, 510.0]


def test_levels_without_rows_and_no_rooms_at_all_are_fine():
    outputs = DSPDet3DOutputs((level([], []), level([], [])))
    assert [len(found) for found in detect(outputs, CONFIG, 2)] == [0, 0]
    assert detect(outputs, CONFIG, 0) == []


def test_a_score_at_the_threshold_is_no_detection():
    boxes = torch.tensor([[0.0, 0, 0, 1, 1, 1]])
    assert len(best_of_classes(boxes, torch.tensor([[0.1, 0.0]]), **LIMITS)) == 0
    assert len(best_of_classes(boxes, torch.tensor([[0.1001, 0.0]]), **LIMITS)) == 1


def test_stacked_cups_stay_apart_if_overlap_is_in_space():
    stacked = torch.tensor([[0.0, 0, 0.05, 0.1, 0.1, 0.1], [0.0, 0, 0.17, 0.1, 0.1, 0.1]])
    scores = torch.tensor([[0.6, 0.0], [0.7, 0.0]])
    assert best_of_classes(stacked, scores, **LIMITS).scores.tolist() == scores[1:, 0].tolist()
    both = best_of_classes(stacked, scores, **(LIMITS | {"nms_overlap": "3d"}))
    assert both.scores.tolist() == scores.flip(0)[:, 0].tolist()
