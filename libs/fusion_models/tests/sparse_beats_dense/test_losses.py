import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from fusion_models.sparse_beats_dense.batch import DepthBatch
from fusion_models.sparse_beats_dense.losses import depth_completion_loss, masked_smooth_l1
from fusion_models.sparse_beats_dense.model import DepthOutputs

GOLDEN = Path(__file__).parents[1] / "golden"


def _outputs(batch=2, *, masks=True):
    """Random outputs of three levels for images of 20 x 40 on a canvas of 32 x 64."""
    torch.manual_seed(0)
    shapes = [(batch, 1, 32 // k, 64 // k) for k in (4, 2, 1)]
    logits = tuple(torch.randn(shape, requires_grad=True) for shape in shapes)
    depths = tuple((torch.rand(shape) * 20).requires_grad_() for shape in shapes)
    return DepthOutputs(depths, logits if masks else None, (20, 40))


def _batch(batch=2, *, share=0.1):
    torch.manual_seed(1)
    size = (batch, 1, 20, 40)
    return DepthBatch(
        frame_ids=tuple("ab"[:batch]),
        image=torch.zeros(batch, 3, 20, 40),
        radar=torch.zeros(size),
        points=torch.zeros(batch, 5, 3),
        counts=torch.zeros(batch, dtype=torch.int64),
        label=torch.rand(size) * 20 * (torch.rand(size) < share),
        radar_classes=torch.rand(size) < 0.5,
    )


@pytest.mark.parametrize("case", range(3))
def test_smooth_l1_equals_the_released_code(case):
    golden = np.load(GOLDEN / "sparse_beats_dense_losses.npz")
    expected = json.loads((GOLDEN / "sparse_beats_dense_losses.json").read_text())[f"smooth_l1_case{case}"]
    predicted, label, mask = (torch.from_numpy(golden[f"{name}{case}"]) for name in ("pred", "label", "mask"))
    assert masked_smooth_l1(predicted, label, mask > 0).item() == pytest.approx(expected, rel=1e-4)


def test_the_released_reduction_divides_by_the_batch_once_more():
    predicted, target = torch.rand(4, 1, 3, 3), torch.rand(4, 1, 3, 3) * 9
    valid = torch.rand(4, 1, 3, 3) < 0.5
    mean = masked_smooth_l1(predicted, target, valid, reduction="mean")
    torch.testing.assert_close(mean, F.smooth_l1_loss(predicted[valid], target[valid]))
    torch.testing.assert_close(masked_smooth_l1(predicted, target, valid), mean / 4)


def test_without_valid_pixels_loss_and_gradients_are_zero():
    predicted = torch.rand(2, 1, 3, 3, requires_grad=True)
    loss = masked_smooth_l1(predicted, torch.zeros(2, 1, 3, 3), torch.zeros(2, 1, 3, 3, dtype=torch.bool))
    loss.backward()
    assert loss == 0 and not predicted.grad.any()


def test_levels_weigh_half_of_the_next_finer():
    losses = depth_completion_loss(_outputs(), _batch())
    depth, mask = losses.depth, losses.mask
    expected = (depth[0] + mask[0]) / 4 + (depth[1] + mask[1]) / 2 + depth[2] + mask[2]
    torch.testing.assert_close(losses.total, expected)


def test_the_mask_loss_counts_the_padding_as_class_false():
    outputs, batch = _outputs(), _batch()
    losses = depth_completion_loss(outputs, batch)
    for factor, logits, loss in zip((4, 2, 1), outputs.mask_logits, losses.mask, strict=True):
        target = torch.zeros(2, 1, 32, 64)
        target[:, :, :20, :40] = batch.radar_classes.float()
        target = F.interpolate(target, size=logits.shape[2:], mode="nearest")
        torch.testing.assert_close(loss, (logits.sigmoid() - target).abs().mean())
        assert factor * logits.shape[2] == 32


def test_only_labelled_pixels_of_the_picture_get_a_depth_gradient():
    outputs, batch = _outputs(), _batch()
    depth_completion_loss(outputs, batch).total.backward()
    gradient = outputs.depths[-1].grad
    assert (gradient[:, :, :20, :40] != 0).eq(batch.label > 0).all()
    assert not gradient[:, :, 20:].any() and not gradient[:, :, :, 40:].any()


def test_negative_labels_count_as_unknown():
    outputs, batch = _outputs(), _batch()
    behind = replace(batch, label=torch.where(batch.label > 0, batch.label, -3.0))
    assert torch.equal(
        depth_completion_loss(outputs, behind).total, depth_completion_loss(outputs, batch).total
    )


def test_a_batch_without_labelled_pixels_still_trains_the_masks():
    outputs = _outputs()
    losses = depth_completion_loss(outputs, _batch(share=0.0))
    losses.total.backward()
    assert [loss.item() for loss in losses.depth] == [0, 0, 0] and losses.total > 0
    assert not outputs.depths[0].grad.any() and outputs.mask_logits[0].grad.any()


def test_without_mask_decoder_only_depth_counts():
    batch = replace(_batch(), radar_classes=None)
    losses = depth_completion_loss(_outputs(masks=False), batch, reduction="mean")
    assert losses.mask is None
    torch.testing.assert_close(losses.total, losses.depth[0] / 4 + losses.depth[1] / 2 + losses.depth[2])


def test_missing_targets_are_named():
    with pytest.raises(ValueError, match=r"DepthBatch.label is None; collate samples that have a lidar_map"):
        depth_completion_loss(_outputs(), replace(_batch(), label=None))
    with pytest.raises(ValueError, match=r"DepthBatch.radar_classes is None; read samples with masks, or"):
        depth_completion_loss(_outputs(), replace(_batch(), radar_classes=None))
