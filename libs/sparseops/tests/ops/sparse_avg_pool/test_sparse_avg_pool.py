"""Sparse average pooling against dense pooling; gradients, threads, registration, errors."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sparseops import KernelMap, SparseTensor, sites_from_coords, sparse_avg_pool, strided_map
from sparseops.ops.sparse_avg_pool import _ops
from torch.nn import functional

SHAPE = (6, 7, 8)


def plan_of(random_coords, rows: int = 200, *, seed: int = 0) -> KernelMap:
    sites = sites_from_coords(random_coords(rows, SHAPE, 2, seed=seed), spatial_shape=SHAPE, batch_size=2)
    return strided_map(sites, kernel_size=3, stride=2, padding=1)


def at_sites(dense: torch.Tensor, plan: KernelMap) -> torch.Tensor:
    b, z, y, x = plan.sites_out.coords.long().unbind(1)
    return dense[b, :, z, y, x]


def test_the_mean_of_active_inputs_is_a_ratio_of_dense_sums(random_coords, backend: str) -> None:
    plan = plan_of(random_coords)
    tensor = SparseTensor.from_sites(torch.randn(len(plan.sites_in), 5), plan.sites_in)
    occupied = tensor.replace(torch.ones(len(plan.sites_in), 1)).dense()
    window = {"kernel_size": 3, "stride": 2, "padding": 1}
    values, counts = (functional.avg_pool3d(dense, **window) for dense in (tensor.dense(), occupied))
    expected = at_sites(values, plan) / at_sites(counts, plan)
    torch.testing.assert_close(sparse_avg_pool(tensor.features, kernel_map=plan), expected)


def test_dividing_by_the_kernel_is_dense_pooling(random_coords, backend: str) -> None:
    plan = plan_of(random_coords)
    tensor = SparseTensor.from_sites(torch.randn(len(plan.sites_in), 5), plan.sites_in)
    dense = functional.avg_pool3d(tensor.dense(), 3, stride=2, padding=1, count_include_pad=True)
    out = sparse_avg_pool(tensor.features, kernel_map=plan, divide_by="kernel")
    torch.testing.assert_close(out, at_sites(dense, plan))


@given(seed=st.integers(0, 50), rows=st.sampled_from([0, 1, 30, 400]), channels=st.integers(0, 20))
@settings(max_examples=20, deadline=None, derandomize=True)
def test_both_back_ends_are_equal_bit_for_bit(random_coords, seed, rows, channels) -> None:
    plan = plan_of(random_coords, rows, seed=seed)
    values = torch.randn(len(plan.sites_in), channels)
    results = []
    with pytest.MonkeyPatch.context() as patch:
        for name in ("", "reference"):
            patch.setenv("SPARSEOPS_BACKEND", name)
            features = values.clone().requires_grad_()
            out = sparse_avg_pool(features, kernel_map=plan)
            out.backward(torch.linspace(-1, 1, out.numel()).reshape(out.shape))
            results.append((out, features.grad))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])


@pytest.mark.slow
@pytest.mark.parametrize("divide_by", ["active", "kernel"])
def test_gradients_are_derivatives(random_coords, divide_by: Any, backend: str) -> None:
    plan = plan_of(random_coords, rows=15)
    features = torch.randn(len(plan.sites_in), 2, dtype=torch.float64, requires_grad=True)

    def run(rows: torch.Tensor) -> torch.Tensor:
        return sparse_avg_pool(rows, kernel_map=plan, divide_by=divide_by)

    assert torch.autograd.gradcheck(run, features)
    assert torch.autograd.gradgradcheck(run, features)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_summed_in_float32(dtype: torch.dtype, backend: str) -> None:
    cells = torch.cartesian_prod(torch.arange(1), torch.arange(3), torch.arange(3)).int()
    plan = strided_map(sites_from_coords(cells, spatial_shape=(3, 3), batch_size=1), kernel_size=3)
    features = torch.full((9, 1), 60000.0).to(dtype).requires_grad_()
    out = sparse_avg_pool(features, kernel_map=plan)
    out.backward()
    assert out.dtype == features.grad.dtype == dtype
    assert out.item() == features[0].item()


def test_rows_that_read_nothing_are_zero(backend: str) -> None:
    cell, other = (torch.tensor([[0, 0, x]], dtype=torch.int32) for x in (0, 3))
    sites, onto = (sites_from_coords(c, spatial_shape=(1, 4), batch_size=1) for c in (cell, other))
    plan = strided_map(sites, kernel_size=1, onto=onto)
    features = torch.ones(1, 1, requires_grad=True)
    out = sparse_avg_pool(features, kernel_map=plan)
    out.backward()
    assert out.item() == features.grad.item() == 0


def test_a_batch_of_two_is_two_batches_of_one(random_coords, backend: str) -> None:
    plan = plan_of(random_coords)
    features = torch.randn(len(plan.sites_in), 4)
    together = sparse_avg_pool(features, kernel_map=plan)
    for b in range(2):
        rows = plan.sites_in.coords[:, 0] == b
        cells = plan.sites_in.coords[rows] * torch.tensor([0, 1, 1, 1], dtype=torch.int32)
        alone = strided_map(
            sites_from_coords(cells, spatial_shape=SHAPE, batch_size=1), kernel_size=3, stride=2, padding=1
        )
        expected = together[plan.sites_out.coords[:, 0] == b]
        assert torch.equal(sparse_avg_pool(features[rows], kernel_map=alone), expected)


def test_results_are_bit_identical_for_any_number_of_threads(
    random_coords, threads: Callable[[int], None]
) -> None:
    plan = plan_of(random_coords, rows=3000)
    values = torch.randn(len(plan.sites_in), 9)
    results = []
    for count in (1, 2, 8):
        threads(count)
        features = values.clone().requires_grad_()
        out = sparse_avg_pool(features, kernel_map=plan)
        out.square().sum().backward()
        results.append((out, features.grad))
    for out, grad in results[1:]:
        assert torch.equal(out, results[0][0])
        assert torch.equal(grad, results[0][1])


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_the_operator_passes_opcheck(random_coords, backend: str) -> None:
    plan = plan_of(random_coords, rows=30)
    back = plan.transposed
    lists = plan.pairs_in, plan.pairs_out, plan.segments, back.pairs_in, back.pairs_out, back.segments
    features = torch.randn(len(plan.sites_in), 3, requires_grad=True)
    torch.library.opcheck(_ops.pool_sum, (features, *lists, len(plan.sites_out)))


def test_bad_arguments_are_refused(random_coords, no_shape_checks: None) -> None:
    plan = plan_of(random_coords)
    good = torch.zeros(len(plan.sites_in), 2)
    with pytest.raises(
        ValueError, match=r"sparse_avg_pool: features must have shape \[\d+, c\], got \[3, 2\]"
    ):
        sparse_avg_pool(torch.zeros(3, 2), kernel_map=plan)
    with pytest.raises(ValueError, match="divide_by must be 'active' or 'kernel', got 'pairs'"):
        sparse_avg_pool(good, kernel_map=plan, divide_by="pairs")  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match=r"features must be float16 or .*, got int32"):
        sparse_avg_pool(good.int(), kernel_map=plan)
    with pytest.raises(ValueError, match="kernel_map is on cpu but features is on meta"):
        sparse_avg_pool(good.to("meta"), kernel_map=plan)
