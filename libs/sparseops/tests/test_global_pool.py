"""Pooling of whole batch elements, one of them empty."""

import pytest
import torch
from sparseops import SparseTensor, global_avg_pool, global_max_pool


def cloud(random_coords, dtype: torch.dtype = torch.float32) -> SparseTensor:
    coords = random_coords(60, (4, 5, 6), 2)
    coords[:, 0] *= 2  # element 1 of three is empty
    return SparseTensor(torch.randn(len(coords), 5).to(dtype), coords, (4, 5, 6), 3)


def test_every_element_is_pooled_alone(random_coords, backend: str) -> None:
    tensor = cloud(random_coords)
    means, tops = global_avg_pool(tensor), global_max_pool(tensor)
    for b in (0, 2):
        rows = tensor.features[tensor.coords[:, 0] == b]
        torch.testing.assert_close(means[b], rows.mean(0))
        assert torch.equal(tops[b], rows.amax(0))
    assert torch.equal(means[1], torch.zeros(5))
    assert torch.equal(tops[1], torch.zeros(5))


@pytest.mark.slow
@pytest.mark.parametrize("pool", [global_avg_pool, global_max_pool])
def test_gradients_are_derivatives(random_coords, pool, backend: str) -> None:
    tensor = cloud(random_coords)
    features = tensor.features.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda f: pool(tensor.replace(f)), features)


@pytest.mark.parametrize("pool", [global_avg_pool, global_max_pool])
def test_half_precision_keeps_its_type(pool, backend: str) -> None:
    coords = torch.tensor([[0, 0, x] for x in range(4)], dtype=torch.int32)
    tensor = SparseTensor(torch.full((4, 1), 60000.0).half(), coords, (1, 4), 1)
    assert pool(tensor).dtype == torch.float16
    assert pool(tensor).item() == tensor.features[0].item()


def test_a_tensor_without_rows_gives_zeros(backend: str) -> None:
    empty = SparseTensor(torch.zeros(0, 2), torch.zeros((0, 3), dtype=torch.int32), (3, 4), 2)
    for pool in (global_avg_pool, global_max_pool):
        assert torch.equal(pool(empty), torch.zeros(2, 2))
