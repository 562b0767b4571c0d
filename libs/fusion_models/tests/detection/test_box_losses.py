import torch
from fusion_models.detection.box_losses import code_difference, direction_bins


def test_heading_difference_has_the_period_pi():
    codes = torch.randn(5, 7)
    turned = codes.clone()
    turned[:, 6] += torch.pi
    torch.testing.assert_close(code_difference(codes, turned).abs(), torch.zeros(5, 7), atol=1e-5, rtol=0)


def test_direction_bin_changes_at_the_offset():
    yaw = torch.tensor([0.78, 0.79, 0.78 + torch.pi, 0.79 + torch.pi, 0.79 - 2 * torch.pi])
    assert direction_bins(yaw, offset_rad=0.78539).tolist() == [1, 0, 0, 1, 0]
