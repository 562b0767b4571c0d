"""Sparse max pooling against dense pooling; ties, signs, gradients, threads, registration, errors."""

from collections.abc import Callable

import pytest
import torch
from sparseops import KernelMap, SparseTensor, sites_from_coords, sparse_max_pool, strided_map
from sparseops.ops.sparse_max_pool import _ops
from torch.nn import functional

SHAPE = (6, 7, 8)


def plan_of(random_coords, rows: int = 200) -> KernelMap:
    sites = sites_from_coords(random_coords(rows, SHAPE, 2), spatial_shape=SHAPE, batch_size=2)
    return strided_map(sites, kernel_size=3, stride=2, padding=1)


def test_it_equals_dense_pooling_with_absent_sites_at_minus_infinity(random_coords, backend: str) -> None:
    plan = plan_of(random_coords)
    tensor = SparseTensor.from_sites(torch.randn(len(plan.sites_in), 5), plan.sites_in)
    occupied = tensor.replace(torch.ones_like(tensor.features)).dense() > 0
    dense = tensor.dense().masked_fill(~occupied, -torch.inf)
    pooled = functional.max_pool3d(dense, 3, stride=2, padding=1)
    b, z, y, x = plan.sites_out.coords.long().unbind(1)
    assert torch.equal(sparse_max_pool(tensor.features, kernel_map=plan), pooled[b, :, z, y, x])


def tied_line(tie: str, *, clamp_zero: bool, values: tuple[float, ...]) -> tuple[float, list[float]]:
    """Pool three neighbours, given in descending x order; value and gradients in that order."""
    coords = torch.tensor([[0, 0, 2], [0, 0, 1], [0, 0, 0]], dtype=torch.int32)
    plan = strided_map(sites_from_coords(coords, spatial_shape=(1, 3), batch_size=1), kernel_size=(1, 3))
    features = torch.tensor(values).reshape(3, 1).requires_grad_()
    out = sparse_max_pool(features, kernel_map=plan, clamp_zero=clamp_zero, tie=tie)
    out.sum().backward()
    return out.item(), features.grad.flatten().tolist()


def test_the_first_in_offset_order_wins_a_tie(backend: str) -> None:
    assert tied_line("first", clamp_zero=False, values=(2.0, 2.0, 1.0)) == (2.0, [0, 1, 0])
    assert tied_line("first", clamp_zero=False, values=(2.0, 2.0, 2.0)) == (2.0, [0, 0, 1])


def test_all_tied_inputs_may_get_the_gradient(backend: str) -> None:
    assert tied_line("all", clamp_zero=False, values=(2.0, 2.0, 1.0)) == (2.0, [1, 1, 0])


def test_negative_maxima_stay_unless_clamped(backend: str) -> None:
    assert tied_line("first", clamp_zero=False, values=(-3.0, -2.0, -4.0)) == (-2.0, [0, 1, 0])
    assert tied_line("first", clamp_zero=True, values=(-3.0, -2.0, -4.0)) == (0.0, [0, 0, 0])


def test_nan_and_minus_infinity_are_ordinary_inputs(backend: str) -> None:
    value, grads = tied_line("first", clamp_zero=False, values=(1.0, float("nan"), 3.0))
    assert value != value
    assert grads == [0, 1, 0]
    assert tied_line("first", clamp_zero=False, values=(-torch.inf,) * 3) == (-torch.inf, [0, 0, 1])


@pytest.mark.slow
@pytest.mark.parametrize("tie", ["first", "all"])
def test_gradients_are_derivatives(random_coords, tie: str, backend: str) -> None:
    plan = plan_of(random_coords, rows=20)
    count = len(plan.sites_in) * 3
    # Distinct values, apart by more than gradcheck's step, so that no maximum changes hands.
    features = torch.randperm(count).double().reshape(-1, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda f: sparse_max_pool(f, kernel_map=plan, tie=tie), features)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_every_type_keeps_its_type(random_coords, dtype: torch.dtype, backend: str) -> None:
    plan = plan_of(random_coords)
    features = torch.randn(len(plan.sites_in), 4).to(dtype).requires_grad_()
    out = sparse_max_pool(features, kernel_map=plan)
    out.sum().backward()
    assert out.dtype == features.grad.dtype == dtype


def test_results_are_bit_identical_for_any_number_of_threads(
    random_coords, threads: Callable[[int], None]
) -> None:
    plan = plan_of(random_coords, rows=3000)
    values = torch.randint(-3, 3, (len(plan.sites_in), 9)).float()
    results = []
    for count in (1, 2, 8):
        threads(count)
        for tie in ("first", "all"):
            features = values.clone().requires_grad_()
            out = sparse_max_pool(features, kernel_map=plan, tie=tie)
            (out * torch.linspace(0, 1, out.numel()).reshape(out.shape)).sum().backward()
            results.append((out, features.grad))
    for i, (out, grad) in enumerate(results):
        assert torch.equal(out, results[i % 2][0])
        assert torch.equal(grad, results[i % 2][1])


@pytest.mark.parametrize("tie", ["first", "all"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_both_back_ends_are_equal_on_ties(
    random_coords, tie: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of(random_coords)
    values = torch.randint(-2, 3, (len(plan.sites_in), 5)).to(dtype)
    upstream = torch.randint(-3, 4, (len(plan.sites_out), 5)).to(dtype)
    results = []
    for name in ("", "reference"):
        monkeypatch.setenv("SPARSEOPS_BACKEND", name)
        features = values.clone().requires_grad_()
        out = sparse_max_pool(features, kernel_map=plan, tie=tie)
        out.backward(upstream)
        results.append((out, features.grad))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])


def test_rows_that_read_nothing_are_minus_infinity(backend: str) -> None:
    cells = torch.tensor([[0, 0, 0], [0, 0, 3]], dtype=torch.int32)
    sites = sites_from_coords(cells, spatial_shape=(1, 4), batch_size=1)
    features = torch.tensor([[-1.0], [2.0]], requires_grad=True)
    onto = sites_from_coords(cells.flip(0).contiguous(), spatial_shape=(1, 5), batch_size=1)
    out = sparse_max_pool(features, kernel_map=strided_map(sites, kernel_size=(1, 2), onto=onto))
    out[1:].sum().backward()
    assert out.flatten().tolist() == [2.0, -1.0]
    assert features.grad.flatten().tolist() == [1.0, 0.0]
    apart = sites_from_coords(
        torch.tensor([[0, 0, 1]], dtype=torch.int32), spatial_shape=(1, 4), batch_size=1
    )
    assert (
        sparse_max_pool(features, kernel_map=strided_map(sites, kernel_size=1, onto=apart)).item()
        == -torch.inf
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_operators_pass_opcheck(random_coords, backend: str) -> None:
    plan = plan_of(random_coords, rows=30)
    lists = plan.pairs_in, plan.pairs_out, plan.segments
    back = plan.transposed.pairs_in, plan.transposed.pairs_out, plan.transposed.segments
    rows = len(plan.sites_out)
    features = torch.randn(len(plan.sites_in), 3, requires_grad=True)
    for tie in ("first", "all"):
        torch.library.opcheck(_ops.sparse_max_pool, (features, *lists, *back, rows, tie))
    source = _ops.sparse_max_pool(features.detach(), *lists, *back, rows, "first")[1]
    best = _ops.sparse_max_pool(features.detach(), *lists, *back, rows, "all")[0]
    torch.library.opcheck(_ops.grad_to_all, (torch.randn(rows, 3), features.detach(), best, *back))
    torch.library.opcheck(_ops.grad_to_first, (torch.randn(rows, 3), source, *back, len(plan.sites_in)))


def test_no_sites_give_no_rows(backend: str) -> None:
    sites = sites_from_coords(torch.zeros((0, 4), dtype=torch.int32), spatial_shape=SHAPE, batch_size=1)
    features = torch.zeros(0, 3, requires_grad=True)
    out = sparse_max_pool(features, kernel_map=strided_map(sites, kernel_size=2, stride=2))
    out.sum().backward()
    assert out.shape == features.grad.shape == (0, 3)


def test_bad_arguments_are_refused(random_coords, no_shape_checks: None) -> None:
    plan = plan_of(random_coords)
    good = torch.zeros(len(plan.sites_in), 2)
    with pytest.raises(
        ValueError, match=r"sparse_max_pool: features must have shape \[\d+, c\], got \[3, 2\]"
    ):
        sparse_max_pool(torch.zeros(3, 2), kernel_map=plan)
    with pytest.raises(ValueError, match="tie must be 'first' or 'all', got 'last'"):
        sparse_max_pool(good, kernel_map=plan, tie="last")  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match=r"features must be float16 or .*, got int32"):
        sparse_max_pool(good.int(), kernel_map=plan)
    with pytest.raises(ValueError, match="kernel_map is on cpu but features is on meta"):
        sparse_max_pool(good.to("meta"), kernel_map=plan)
