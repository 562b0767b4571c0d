import math

import pytest
import torch
from fusion_models.detection.anchor_head import (
    AnchorHead,
    AnchorHeadConfig,
    AnchorOutputs,
    anchor_loss,
    decode_anchors,
)
from fusion_models.detection.anchors import AnchorTargets, assign_anchors

CONFIG = AnchorHeadConfig()
BOUNDS = (0.0, -4.0, -3.0, 8.0, 4.0, 1.0)


def _head(channels=4):
    torch.manual_seed(0)
    return AnchorHead(channels, CONFIG, bounds=BOUNDS, map_size_yx=(6, 5))


def _outputs(logit=0.0):
    anchors = _head().anchors
    return AnchorOutputs(
        torch.full((2, 180, 3), logit), torch.zeros(2, 180, 7), torch.zeros(2, 180, 2), anchors
    )


def _targets(boxes, labels):
    return assign_anchors(_head().anchors, boxes, labels, classes=CONFIG.classes)


def test_outputs_follow_the_order_of_the_anchors():
    head = _head()
    with torch.no_grad():
        head.classes.weight.zero_()
        head.classes.bias.copy_(torch.arange(18.0))
        head.boxes.weight.zero_()
        head.boxes.bias.copy_(torch.arange(42.0))
    outputs = head(torch.zeros(2, 4, 6, 5))
    assert outputs.class_logits.shape == (2, 180, 3)
    assert outputs.class_logits[1, 6:8].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert outputs.codes[0, 1].tolist() == [7, 8, 9, 10, 11, 12, 13]


def test_every_anchor_starts_at_the_prior():
    head = _head()
    with torch.no_grad():
        head.classes.weight.zero_()
    probability = head(torch.zeros(1, 4, 6, 5)).class_logits.sigmoid()
    torch.testing.assert_close(probability, torch.full_like(probability, 0.01))


def test_head_of_the_released_size_has_the_released_weights():
    head = AnchorHead(512, CONFIG, bounds=BOUNDS, map_size_yx=(2, 2))
    assert {n: tuple(p.shape) for n, p in head.state_dict().items()} == {
        "classes.weight": (18, 512, 1, 1),
        "classes.bias": (18,),
        "boxes.weight": (42, 512, 1, 1),
        "boxes.bias": (42,),
        "directions.weight": (12, 512, 1, 1),
        "directions.bias": (12,),
    }


def test_loss_without_boxes_is_the_focal_loss_of_background():
    losses = anchor_loss(
        _outputs(), _targets(torch.zeros(2, 0, 7), torch.zeros(2, 0, dtype=torch.int64)), CONFIG
    )
    expected = 180 * 3 * 0.75 * 0.25 * math.log(2)
    assert losses.classification.item() == pytest.approx(expected, rel=1e-5)
    assert losses.box.item() == 0 and losses.direction.item() == 0


def test_each_frame_is_divided_by_its_own_positives():
    count = [3, 1]
    labels = torch.zeros(2, 180, dtype=torch.int64)
    labels[0, :3], labels[1, 7] = 1, 2
    frame = torch.tensor([0, 0, 0, 1])
    targets = AnchorTargets(labels, frame, torch.tensor([0, 1, 2, 7]), torch.ones(4, 7), torch.zeros(4))
    losses = anchor_loss(_outputs(), targets, CONFIG)
    positive, negative = 0.25 * 0.25 * math.log(2), 0.75 * 0.25 * math.log(2)
    focal = sum((n * positive + (540 - n) * negative) / n for n in count) / 2
    row = 6 * (1 - 1 / 18) + (math.sin(1) - 1 / 18)
    assert losses.classification.item() == pytest.approx(focal, rel=1e-5)
    assert losses.box.item() == pytest.approx(2 * row, rel=1e-5)
    assert losses.direction.item() == pytest.approx(0.2 * math.log(2), rel=1e-5)
    assert losses.total.item() == pytest.approx(focal + 2 * row + 0.2 * math.log(2), rel=1e-5)


def test_ignored_anchors_do_not_count():
    none = AnchorTargets(
        torch.full((2, 180), -1), *(torch.zeros(0, dtype=torch.int64),) * 2, torch.zeros(0, 7), torch.zeros(0)
    )
    assert anchor_loss(_outputs(), none, CONFIG).total.item() == 0


@pytest.mark.parametrize(("direction", "expected"), [(0, 2.0), (1, 2.0 + math.pi)])
def test_heading_takes_the_half_circle_of_its_bin(direction, expected):
    outputs = _outputs()
    outputs.codes[0, 0, 6] = 2.0 - 7 * math.pi
    outputs.direction_logits[0, 0, direction] = 1.0
    boxes = decode_anchors(outputs, CONFIG, indices=torch.zeros(2, 1, dtype=torch.int64))
    assert boxes[0, 0, 6].item() == pytest.approx(expected, abs=1e-4)


@pytest.mark.golden
def test_decoded_boxes_equal_the_released_ones(imagepg_golden):
    golden = imagepg_golden("eval_batched")
    head = AnchorHead(1, CONFIG, bounds=(0.0, -40.0, -3.0, 70.4, 40.0, 1.0), map_size_yx=(200, 176))
    maps = {name: torch.zeros(2, size, 200, 176) for name, size in (("dense_box", 42), ("dense_dir", 12))}
    for name, dense in maps.items():
        dense[:, :, ::10, ::8] = torch.from_numpy(golden[f"{name}_slice"])
    codes, bins = (
        dense.permute(0, 2, 3, 1).reshape(2, 211200, size)
        for dense, size in ((maps["dense_box"], 7), (maps["dense_dir"], 2))
    )
    outputs = AnchorOutputs(torch.zeros(2, 211200, 3), codes, bins, head.anchors)
    stored = torch.arange(0, 211200, 211)
    known = ((stored // 6 // 176) % 10 == 0) & ((stored // 6 % 176) % 8 == 0)
    assert known.sum() > 8
    boxes = decode_anchors(outputs, CONFIG, indices=stored[known].expand(2, -1))
    expected = torch.from_numpy(golden["decoded_boxes_every211"])[:, known]
    torch.testing.assert_close(boxes, expected, rtol=1e-4, atol=1e-4)


def test_a_map_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"map of \(5, 5\) cells, but the anchors were laid out on \(6, 5\)"):
        _head()(torch.zeros(1, 4, 5, 5))
