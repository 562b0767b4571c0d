from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from fusion_models.layers.losses import (
    mean_over_ranks,
    sigmoid_focal,
    smooth_l1,
)

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "detector_units.npz")


def test_focal_loss_equals_the_released_one():
    logits, targets = torch.from_numpy(GOLDEN["focal_logits"]), torch.from_numpy(GOLDEN["focal_targets"])
    loss = sigmoid_focal(logits, targets) * torch.from_numpy(GOLDEN["focal_weights"])[..., None]
    np.testing.assert_allclose(loss, GOLDEN["focal_loss"], rtol=1e-5, atol=1e-6)


def test_focal_loss_without_focus_is_half_the_cross_entropy():
    logits, targets = torch.randn(50), (torch.rand(50) < 0.5).float()
    expected = 0.5 * F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    torch.testing.assert_close(sigmoid_focal(logits, targets, alpha=0.5, gamma=0.0), expected)


def test_focal_loss_of_huge_logits_is_finite_and_so_is_its_gradient():
    logits = torch.tensor([-200.0, 200.0], requires_grad=True)
    loss = sigmoid_focal(logits, torch.tensor([1.0, 0.0])).sum()
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(logits.grad).all()


def test_smooth_l1_equals_torch():
    difference = torch.randn(100)
    expected = F.smooth_l1_loss(difference, torch.zeros(100), beta=1 / 9, reduction="none")
    torch.testing.assert_close(smooth_l1(difference), expected)


def test_smooth_l1_refuses_a_beta_that_is_not_positive():
    with pytest.raises(ValueError, match="beta must be positive, got 0"):
        smooth_l1(torch.zeros(1), beta=0.0)


def test_divisor_of_one_process_is_the_count_with_its_lower_bound():
    assert mean_over_ranks(torch.tensor(3)).item() == 3
    assert mean_over_ranks(torch.tensor(0), at_least=1.0).item() == 1


def _divisors(rank, cases):
    return [mean_over_ranks(torch.tensor(counts[rank]), at_least=1.0).item() for counts in cases]


@pytest.mark.slow
def test_divisor_of_two_processes_is_half_the_joined_count(on_two_ranks):
    assert on_two_ranks(_divisors, [(3, 1), (0, 0)]) == [2.0, 0.5]
