"""Triton kernels of sparse average pooling against the reference, and compiled without a GPU."""

import pytest
import torch
from sparseops import KernelMap, sites_from_coords, sparse_avg_pool, strided_map
from sparseops.ops.sparse_avg_pool import _ops

SHAPE = (4, 5, 6)


def plan_on(device: torch.device, random_coords, rows: int = 60) -> KernelMap:
    coords = random_coords(rows, SHAPE, 2).to(device)
    return strided_map(
        sites_from_coords(coords, spatial_shape=SHAPE, batch_size=2),
        kernel_size=(3, 3, 2),
        stride=2,
        padding=(1, 1, 0),
    )


@pytest.mark.triton
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("rows", [0, 1, 60])
def test_values_and_gradient_equal_the_reference(
    triton_device, random_coords, monkeypatch, dtype, rows
) -> None:
    plan = plan_on(triton_device, random_coords, rows)
    values = torch.randn(len(plan.sites_in), 19, device=triton_device).to(dtype)
    results = []
    for name in ("triton", "reference"):
        monkeypatch.setenv("SPARSEOPS_BACKEND", name)
        features = values.clone().requires_grad_()
        out = sparse_avg_pool(features, kernel_map=plan)
        out.backward(torch.linspace(-1, 1, out.numel(), device=triton_device).reshape(out.shape).to(dtype))
        results.append((out, features.grad))
    # The reference adds in no fixed order on a GPU.
    tolerance = {"atol": 0, "rtol": 0} if triton_device.type == "cpu" else {}
    torch.testing.assert_close(results[0], results[1], **tolerance)


@pytest.mark.triton
def test_gradients_are_derivatives(triton_device, random_coords) -> None:
    plan = plan_on(triton_device, random_coords, rows=6)
    features = torch.randn(
        len(plan.sites_in), 2, dtype=torch.float64, device=triton_device, requires_grad=True
    )
    assert torch.autograd.gradcheck(lambda f: sparse_avg_pool(f, kernel_map=plan), features)


@pytest.mark.triton
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_the_operator_passes_opcheck(triton_device, random_coords) -> None:
    plan = plan_on(triton_device, random_coords, rows=9)
    features = torch.randn(len(plan.sites_in), 2, device=triton_device, requires_grad=True)
    torch.library.opcheck(_ops.pool_sum_table, (features, plan.table.rows, plan.transposed.table.rows))


@pytest.mark.parametrize("kind", ["fp32", "fp64"])
def test_the_kernel_compiles(compile_kernel, kind: str) -> None:
    from sparseops.ops.sparse_avg_pool import _triton

    sizes = {"rows": "i32", "channels": "i32", "volume": "i32"}
    types = {"features": f"*{kind}", "table": "*i32", "out": f"*{kind}", **sizes}
    compile_kernel(_triton._sum, types, {"ROWS": 32, "CHANNELS": 64})
