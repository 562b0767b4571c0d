import pytest
import torch
from sparseops import inverse_distance_weights, three_interpolate, three_nn


@pytest.mark.triton
def test_search_and_interpolation_equal_the_reference(triton_device: torch.device, monkeypatch) -> None:
    unknown = (torch.randint(-3, 3, (2, 40, 3)) / 7).to(triton_device)
    known = (torch.randint(-3, 3, (2, 30, 3)) / 7).to(triton_device)
    features = torch.randn(2, 6, 30).to(triton_device).requires_grad_()
    results = []
    for name in (None, "reference"):
        if name:
            monkeypatch.setenv("SPARSEOPS_BACKEND", name)
        distances, idx = three_nn(unknown, known)
        out = three_interpolate(features, idx, inverse_distance_weights(distances))
        results.append([distances, idx, out, *torch.autograd.grad(out.square().sum(), features)])
    ours, reference = results
    assert torch.equal(ours[0], reference[0]) and torch.equal(ours[1], reference[1])
    torch.testing.assert_close(ours[2:], reference[2:], rtol=1e-5, atol=1e-5)
