"""Triton kernels of sparse max pooling against the reference, and compiled without a GPU."""

import pytest
import torch
from sparseops import KernelMap, sites_from_coords, sparse_max_pool, strided_map
from sparseops.ops.sparse_max_pool import _ops

SHAPE = (4, 5, 6)


def plan_on(device: torch.device, random_coords, rows: int = 60, batch_size: int = 2) -> KernelMap:
    coords = random_coords(rows, SHAPE, batch_size).to(device)
    sites = sites_from_coords(coords, spatial_shape=SHAPE, batch_size=batch_size)
    return strided_map(sites, kernel_size=(3, 3, 2), stride=2, padding=(1, 1, 0))


def pooled(plan: KernelMap, values: torch.Tensor, tie: str) -> tuple[torch.Tensor, torch.Tensor | None]:
    features = values.clone().requires_grad_()
    out = sparse_max_pool(features, kernel_map=plan, tie=tie)
    upstream = torch.arange(out.numel(), device=out.device).reshape(out.shape) % 7 - 3
    out.backward(upstream.to(out.dtype))
    return out, features.grad


@pytest.mark.triton
@pytest.mark.parametrize("tie", ["first", "all"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_values_and_gradient_equal_the_reference(
    triton_device, random_coords, monkeypatch, tie, dtype
) -> None:
    plan = plan_on(triton_device, random_coords)
    # Small integers: many ties, and sums that are exact in any order and type.
    values = torch.randint(-3, 4, (len(plan.sites_in), 19), device=triton_device).to(dtype)
    fast = pooled(plan, values, tie)
    monkeypatch.setenv("SPARSEOPS_BACKEND", "reference")
    slow = pooled(plan, values, tie)
    assert torch.equal(fast[0], slow[0])
    assert torch.equal(fast[1], slow[1])


@pytest.mark.triton
def test_nan_wins_and_negative_maxima_stay(triton_device, random_coords, monkeypatch) -> None:
    plan = plan_on(triton_device, random_coords)
    values = -1 - torch.rand(len(plan.sites_in), 3, device=triton_device)
    values[::5, 1], values[1::5, 2] = torch.nan, -torch.inf
    fast, fast_grad = pooled(plan, values, "first")
    monkeypatch.setenv("SPARSEOPS_BACKEND", "reference")
    slow, slow_grad = pooled(plan, values, "first")
    torch.testing.assert_close(fast, slow, rtol=0, atol=0, equal_nan=True)
    assert torch.equal(fast_grad, slow_grad)
    assert bool((fast[:, 0] < 0).all())


@pytest.mark.triton
@pytest.mark.parametrize("tie", ["first", "all"])
def test_no_sites_and_no_channels(triton_device, random_coords, tie: str) -> None:
    empty = plan_on(triton_device, random_coords, rows=0)
    assert pooled(empty, torch.zeros(0, 4, device=triton_device), tie)[1].shape == (0, 4)
    plan = plan_on(triton_device, random_coords)
    rows = len(plan.sites_in)
    assert pooled(plan, torch.zeros(rows, 0, device=triton_device), tie)[1].shape == (rows, 0)


@pytest.mark.triton
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_operators_pass_opcheck(triton_device, random_coords) -> None:
    plan = plan_on(triton_device, random_coords, rows=9)
    table, back = plan.table.rows, plan.transposed.table.rows
    features = torch.randn(len(plan.sites_in), 2, device=triton_device, requires_grad=True)
    for tie in ("first", "all"):
        torch.library.opcheck(_ops.sparse_max_pool_table, (features, table, back, tie))
    values = features.detach()
    best, source = _ops.sparse_max_pool_table(values, table, back, "all")
    torch.library.opcheck(_ops.grad_to_first_table, (torch.randn_like(best), source, back))
    torch.library.opcheck(_ops.grad_to_all_table, (torch.randn_like(best), values, best, back))


@pytest.mark.parametrize("kind", ["fp16", "bf16", "fp32", "fp64"])
def test_the_kernels_compile(compile_kernel, kind: str) -> None:
    from sparseops.ops.sparse_max_pool import _triton

    sizes, blocks = {"rows": "i32", "channels": "i32", "volume": "i32"}, {"ROWS": 32, "CHANNELS": 64}
    floats = dict.fromkeys(("features", "best", "grad_out", "grad", "out"), f"*{kind}")
    for kernel in (_triton._maximum, _triton._grad_first, _triton._grad_all):
        types = {**floats, "table": "*i32", "source": "*i32", **sizes}
        compile_kernel(kernel, {k: v for k, v in types.items() if k in kernel.arg_names}, blocks)
