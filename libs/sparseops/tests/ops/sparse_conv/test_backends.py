"""The compiled convolution against the reference: values, gradients, types, sizes, threads, registration."""

from collections.abc import Callable

import pytest
import torch
from sparseops import KernelMap, sites_from_coords, sparse_conv, strided_map, submanifold_map
from sparseops.ops.sparse_conv import _ops
from torch import Tensor

SHAPE = (6, 9, 8)


def plans(random_coords, rows: int = 700) -> list[KernelMap]:
    sites = sites_from_coords(random_coords(rows, SHAPE, 2), spatial_shape=SHAPE, batch_size=2)
    strided = strided_map(sites, kernel_size=3, stride=2, padding=1)
    return [submanifold_map(sites, kernel_size=3), strided, strided.transposed]


def run(plan: KernelMap, features: Tensor, weight: Tensor, bias: Tensor) -> list[Tensor]:
    """Output, and all gradients of a weighted sum of it."""
    leaves = [tensor.clone().requires_grad_() for tensor in (features, weight, bias)]
    out = sparse_conv(leaves[0], leaves[1], bias=leaves[2], kernel_map=plan)
    # Steps of 1/8 are exact in every type.
    upstream = torch.arange(out.numel()).remainder(17).sub(8).div(8).reshape(out.shape)
    out.backward(upstream.to(out.dtype))
    grads = [leaf.grad for leaf in leaves if leaf.grad is not None]
    assert len(grads) == 3
    return [out.detach(), *grads]


@pytest.mark.parametrize(("cin", "cout"), [(4, 16), (5, 31), (16, 32), (31, 5), (1, 1), (48, 17), (17, 64)])
def test_any_number_of_channels_equals_the_reference(
    random_coords, monkeypatch: pytest.MonkeyPatch, cin: int, cout: int
) -> None:
    for plan in plans(random_coords):
        inputs = torch.randn(len(plan.sites_in), cin), torch.randn(3, 3, 3, cin, cout), torch.randn(cout)
        monkeypatch.delenv("SPARSEOPS_BACKEND", raising=False)
        compiled = run(plan, *inputs)
        monkeypatch.setenv("SPARSEOPS_BACKEND", "reference")
        # The weight gradient sums a thousand products in another order.
        for got, want, atol in zip(compiled, run(plan, *inputs), (1e-5, 1e-5, 5e-5, 5e-5), strict=True):
            torch.testing.assert_close(got, want, atol=atol, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_every_type_keeps_its_type_and_sums_wide(random_coords, dtype: torch.dtype, backend: str) -> None:
    plan = plans(random_coords)[0]
    inputs = torch.randn(len(plan.sites_in), 16), torch.randn(3, 3, 3, 16, 16) / 8, torch.randn(16)
    wide = [tensor.to(dtype).double() for tensor in inputs]
    tolerance = {torch.float16: 2e-3, torch.bfloat16: 2e-2, torch.float64: 1e-12}[dtype]
    for got, want in zip(run(plan, *(t.to(dtype) for t in inputs)), run(plan, *wide), strict=True):
        assert got.dtype == dtype
        torch.testing.assert_close(
            got.double(), want, atol=tolerance * float(want.abs().max()), rtol=tolerance
        )


def test_results_are_bit_identical_for_any_number_of_threads(
    random_coords, threads: Callable[[int], None]
) -> None:
    for plan in plans(random_coords, rows=3000):
        inputs = torch.randn(len(plan.sites_in), 24), torch.randn(3, 3, 3, 24, 20), torch.randn(20)
        results = []
        for count in (1, 2, 8):
            threads(count)
            # The bias gradient is PyTorch's own sum.
            results.append(run(plan, *inputs)[:3])
            assert torch.get_num_threads() == count
        for other in results[1:]:
            for a, b in zip(results[0], other, strict=True):
                assert torch.equal(a, b)


@pytest.mark.slow
def test_gradients_are_derivatives(random_coords, backend: str) -> None:
    for plan in plans(random_coords, rows=12):
        features = torch.randn(len(plan.sites_in), 2, dtype=torch.float64, requires_grad=True)
        weight = torch.randn(3, 3, 3, 2, 3, dtype=torch.float64, requires_grad=True)
        bias = torch.randn(3, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(
            lambda f, w, b, plan=plan: sparse_conv(f, w, bias=b, kernel_map=plan), (features, weight, bias)
        )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_operators_pass_opcheck(random_coords, backend: str) -> None:
    plan = plans(random_coords, rows=60)[1]
    features = torch.randn(len(plan.sites_in), 5, requires_grad=True)
    weight = torch.randn(27, 5, 6, requires_grad=True)
    lists = plan.pairs_in, plan.pairs_out, plan.segments
    back = plan.transposed.pairs_in, plan.transposed.pairs_out, plan.transposed.segments
    rows = len(plan.sites_out)
    for bias in (None, torch.randn(6, requires_grad=True)):
        torch.library.opcheck(_ops.sparse_conv, (features, weight, bias, *lists, *back, rows))
    torch.library.opcheck(_ops.weight_grad, (features.detach(), torch.randn(rows, 6), *lists))


def test_autocast_computes_in_float32_on_the_cpu(random_coords) -> None:
    plan = plans(random_coords)[0]
    features = torch.randn(len(plan.sites_in), 4, dtype=torch.bfloat16)
    weight = torch.randn(3, 3, 3, 4, 4, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = sparse_conv(features, weight, kernel_map=plan)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, sparse_conv(features.float(), weight, kernel_map=plan))


def test_only_wanted_gradients_are_computed(random_coords, backend: str) -> None:
    plan = plans(random_coords)[1]
    features = torch.randn(len(plan.sites_in), 4)
    weight = torch.randn(3, 3, 3, 4, 4, requires_grad=True)
    sparse_conv(features, weight, kernel_map=plan).sum().backward()
    assert features.grad is None
    assert weight.grad is not None
    assert weight.grad.isfinite().all()


def test_a_second_derivative_is_refused(random_coords) -> None:
    plan = plans(random_coords, rows=12)[0]
    features = torch.randn(len(plan.sites_in), 2)
    weight = torch.randn(3, 3, 3, 2, 3, requires_grad=True)
    out = sparse_conv(features, weight, kernel_map=plan)
    (grad,) = torch.autograd.grad(out.square().sum(), weight, create_graph=True)
    with pytest.raises(NotImplementedError, match="sparse_conv_weight_grad has no derivative"):
        grad.sum().backward()
