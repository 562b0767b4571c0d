import math

import pytest
import torch
from fusion_models.detection.roi_outputs import decode_rois


def test_zero_codes_return_the_roi():
    rois = torch.tensor([[10.0, -2.0, 1.0, 4.0, 2.0, 1.5, 0.7]])
    torch.testing.assert_close(decode_rois(torch.zeros(1, 7), rois), rois)


def test_offsets_are_along_the_axes_of_the_roi_and_the_heading_adds_up():
    rois = torch.tensor([[0.0, 0.0, 0.0, 3.0, 4.0, 2.0, math.pi / 2]])
    codes = torch.tensor([[1.0, 0.0, 0.5, math.log(2.0), 0.0, 0.0, 0.1]])
    expected = torch.tensor([[0.0, 5.0, 1.0, 6.0, 4.0, 2.0, math.pi / 2 + 0.1]])
    torch.testing.assert_close(decode_rois(codes, rois), expected, atol=1e-5, rtol=0)


@pytest.mark.golden
@pytest.mark.parametrize("stage", range(6))
def test_decoding_equals_the_released_one(imagepg_golden, stage):
    golden = imagepg_golden("eval_batched")
    codes = torch.from_numpy(golden[f"stage{stage}_rcnn_reg"])
    rois = torch.from_numpy(golden[f"stage{stage}_rois_frame_t"]).flatten(0, 1)
    expected = torch.from_numpy(golden[f"stage{stage}_decoded_frame_t"]).flatten(0, 1)
    torch.testing.assert_close(decode_rois(codes, rois), expected, atol=1e-5, rtol=1e-5)
