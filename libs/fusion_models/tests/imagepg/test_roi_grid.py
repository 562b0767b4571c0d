import numpy as np
import pytest
import torch
from fusion_models.imagepg.roi_grid import positional_input
from sparseops import roi_grid


@pytest.mark.golden
def test_grid_and_positional_input_equal_the_released_ones(imagepg_golden):
    golden = imagepg_golden("mr_and_boxes")
    rois = torch.from_numpy(golden["grid_rois"]).flatten(0, 1)
    points, local = roi_grid(rois, grid_size=6)
    np.testing.assert_allclose(points, golden["grid_global"], atol=1e-5)
    np.testing.assert_allclose(local, golden["grid_local"], atol=1e-5)
    positions = positional_input(rois, local)
    expected = golden["checksums"]["grid_positional_27"]
    assert list(positions.shape) == expected["shape"]
    np.testing.assert_allclose(positions.flatten()[:64], expected["first64"], atol=1e-5)
    sampled = positions.flatten()[:: expected["sample_stride"]][: len(expected["sample"])]
    np.testing.assert_allclose(sampled, expected["sample"], atol=1e-5)


def test_no_rois_give_an_empty_grid():
    _, local = roi_grid(torch.zeros(0, 7), grid_size=6)
    assert positional_input(torch.zeros(0, 7), local).shape == (0, 216, 27)
