import numpy as np
import pytest
import torch
import torch.nn.functional as F
from fusion_models.segmentation import sinkhorn
from fusion_models.segmentation.sinkhorn import balanced_assignment


@pytest.mark.golden
@pytest.mark.parametrize("case", range(6))
def test_assignments_are_the_released_ones(cluster3dseg_golden, case):
    golden = np.load(cluster3dseg_golden / "sinkhorn.npz")
    features, centres = (torch.from_numpy(golden[f"sk{case}_{name}"]) for name in "xc")
    assert balanced_assignment(features, centres).tolist() == golden[f"sk{case}_assign"].reshape(-1).tolist()


def test_clusters_share_the_points_out():
    points = F.normalize(torch.rand(400, 8), dim=1)
    counts = balanced_assignment(points, F.normalize(torch.randn(8, 8), dim=1)).bincount(minlength=8)
    nearest = (points @ F.normalize(torch.randn(8, 8), dim=1).T).argmax(1).bincount(minlength=8)
    assert counts.min() >= 20
    assert counts.max() < nearest.max()


def test_fewer_points_than_clusters_spread_out():
    centres = F.normalize(torch.randn(40, 16), dim=1)
    found = balanced_assignment(centres[[3, 9, 3]] + 0.01 * torch.randn(3, 16), centres)
    assert 9 in found.tolist()
    assert len(found.unique()) == 3


def test_nothing_is_assigned_to_nothing():
    assert balanced_assignment(torch.zeros(0, 4), torch.ones(2, 4)).tolist() == []


def test_points_all_alike_go_to_the_first_cluster():
    assert balanced_assignment(torch.ones(3, 4), torch.ones(2, 4)).tolist() == [0, 0, 0]


def test_scaling_that_does_not_settle_ends(monkeypatch):
    monkeypatch.setattr(sinkhorn, "MOST_ROUNDS", 3)
    assert len(balanced_assignment(torch.rand(5, 4), torch.rand(2, 4), tolerance=0.0)) == 5


def test_no_gradient_flows():
    assert not balanced_assignment(torch.rand(5, 4, requires_grad=True), torch.rand(2, 4)).requires_grad
