import pytest
import torch
from sparseops import sites_from_coords, trilinear_devoxelize, trilinear_weights


@pytest.mark.triton
def test_values_and_gradient_equal_the_reference(
    triton_device: torch.device, monkeypatch, random_coords
) -> None:
    coords = random_coords(60, (4, 4, 4), batch_size=2).to(triton_device)
    sites = sites_from_coords(coords, spatial_shape=(4, 4, 4), batch_size=2)
    points = torch.rand(50, 4, device=triton_device) * 4
    points[:, 0] = torch.arange(50, device=triton_device) % 2
    features = torch.randn(len(sites), 5, device=triton_device, requires_grad=True)
    results = []
    for name in (None, "reference"):
        if name:
            monkeypatch.setenv("SPARSEOPS_BACKEND", name)
        idx, weights = trilinear_weights(points, sites)
        out = trilinear_devoxelize(features, idx, weights)
        results.append([idx, weights, out, *torch.autograd.grad(out.square().sum(), features)])
    ours, reference = results
    assert torch.equal(ours[0], reference[0])
    torch.testing.assert_close(ours[1:], reference[1:], rtol=1e-5, atol=1e-5)
