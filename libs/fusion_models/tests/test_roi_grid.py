import math

import numpy as np
import pytest
import torch
from fusion_models.roi_grid import positional_input, roi_grid


@pytest.mark.golden
def test_grid_and_positional_input_equal_the_official_ones(imagepg_golden):
    golden = imagepg_golden("mr_and_boxes")
    rois = torch.from_numpy(golden["grid_rois"]).flatten(0, 1)
    points, local = roi_grid(rois, size=6)
    np.testing.assert_allclose(points, golden["grid_global"], atol=1e-5)
    np.testing.assert_allclose(local, golden["grid_local"], atol=1e-5)
    positions = positional_input(rois, local)
    expected = golden["checksums"]["grid_positional_27"]
    assert list(positions.shape) == expected["shape"]
    np.testing.assert_allclose(positions.flatten()[:64], expected["first64"], atol=1e-5)
    sampled = positions.flatten()[:: expected["sample_stride"]][: len(expected["sample"])]
    np.testing.assert_allclose(sampled, expected["sample"], atol=1e-5)


def test_grid_points_fill_the_box_and_turn_with_it():
    roi = torch.tensor([[1.0, 2.0, 3.0, 4.0, 2.0, 1.0, math.pi / 2]])
    points, local = roi_grid(roi, size=3)
    assert points.shape == (1, 27, 3)
    torch.testing.assert_close(points.mean(1), roi[:, :3])
    torch.testing.assert_close(local.amax(1), roi[:, 3:6] / 3)
    # the box's x axis points along +y of the frame
    torch.testing.assert_close(points.amax(1)[0, 1], torch.tensor(2.0 + 4.0 / 3))


def test_z_is_the_fastest_axis_of_the_grid():
    _, local = roi_grid(torch.tensor([[0.0, 0, 0, 1, 1, 1, 0]]), size=2)
    assert (local[0, 1] - local[0, 0]).tolist() == [0.0, 0.0, 0.5]


def test_no_rois_give_an_empty_grid():
    points, local = roi_grid(torch.zeros(0, 7), size=6)
    assert points.shape == local.shape == (0, 216, 3)
    assert positional_input(torch.zeros(0, 7), local).shape == (0, 216, 27)
