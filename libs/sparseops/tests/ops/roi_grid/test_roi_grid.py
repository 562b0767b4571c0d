import math

import pytest
import torch
from sparseops import points_in_boxes, roi_grid

ROI = torch.tensor([[1.0, 2.0, 3.0, 4.0, 2.0, 1.0, math.pi / 2]])


def test_grid_points_fill_the_box_and_turn_with_it() -> None:
    points, local = roi_grid(ROI, grid_size=3)
    assert points.shape == (1, 27, 3)
    torch.testing.assert_close(points.mean(1), ROI[:, :3])
    torch.testing.assert_close(local.amax(1), ROI[:, 3:6] / 3)
    # the box's x axis points along +y of the frame
    torch.testing.assert_close(points.amax(1)[0, 1], torch.tensor(2.0 + 4.0 / 3))


def test_points_lie_in_their_roi_and_leave_a_half_cell_to_its_sides() -> None:
    rois = torch.rand(20, 7) * 5 + 0.5
    for roi, points in zip(rois, roi_grid(rois, grid_size=(2, 4, 3))[0], strict=True):
        assert points_in_boxes(points, roi[None]).tolist() == [0] * 24
        tight = roi.clone()
        tight[3:6] *= torch.tensor([0.5, 0.75, 2 / 3]) * 0.999
        corners = torch.tensor([0, 2, 9, 11, 12, 14, 21, 23])
        assert points_in_boxes(points[corners], tight[None]).tolist() == [-1] * 8


def test_z_is_the_fastest_axis_of_the_grid() -> None:
    _, local = roi_grid(torch.tensor([[0.0, 0, 0, 1, 1, 1, 0]]), grid_size=2)
    assert (local[0, 1] - local[0, 0]).tolist() == [0.0, 0.0, 0.5]


def test_each_axis_may_have_its_own_size() -> None:
    _, local = roi_grid(torch.tensor([[0.0, 0, 0, 2, 1, 4, 0]]), grid_size=(2, 1, 4))
    assert local[0].tolist() == [[x, 0.0, z] for x in (-0.5, 0.5) for z in (-1.5, -0.5, 0.5, 1.5)]


def test_the_gradient_is_right() -> None:
    rois = torch.rand(3, 7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda boxes: roi_grid(boxes, grid_size=2), (rois,))


def test_no_rois_give_an_empty_grid() -> None:
    points, local = roi_grid(torch.zeros(0, 7), grid_size=6)
    assert points.shape == local.shape == (0, 216, 3)


@pytest.mark.usefixtures("no_shape_checks")
def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match=r"roi_grid: rois must have shape \[N, 7\], got \[1, 6\]"):
        roi_grid(ROI[:, :6], grid_size=2)
    with pytest.raises(TypeError, match=r"roi_grid: rois must be .* or float32 or float64, got int64"):
        roi_grid(ROI.long(), grid_size=2)
    with pytest.raises(ValueError, match="roi_grid: grid_size must be positive, got"):
        roi_grid(ROI, grid_size=0)
    with pytest.raises(ValueError, match=r"grid_size must be one number or three \(x, y, z\), got \[2, 2\]"):
        roi_grid(ROI, grid_size=(2, 2))
