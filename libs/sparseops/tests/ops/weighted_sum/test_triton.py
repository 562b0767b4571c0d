from collections.abc import Callable
from typing import Any

import pytest
import torch
from sparseops import weighted_sum

pytest.importorskip("triton")
from sparseops.ops.weighted_sum import _triton


@pytest.mark.triton
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize(("channels", "k"), [(5, 3), (70, 8), (1, 1)])
def test_values_and_gradients_equal_the_reference(
    triton_device: torch.device, monkeypatch, dtype: torch.dtype, channels: int, k: int
) -> None:
    features = torch.randn(40, channels).to(triton_device, dtype).requires_grad_()
    weights = torch.rand(50, k, device=triton_device, requires_grad=True)
    idx = torch.randint(-2, 40, (50, k), device=triton_device)
    upstream = torch.randn(50, channels).to(triton_device, dtype)
    results = []
    for name in (None, "reference"):
        if name:
            monkeypatch.setenv("SPARSEOPS_BACKEND", name)
        out = weighted_sum(features, idx, weights)
        results.append([out, *torch.autograd.grad(out, (features, weights), upstream)])
    # Half precision is rounded once, at the end, but sums of another order may round the other way.
    tolerance = {torch.float16: 2e-3, torch.bfloat16: 2e-2}.get(dtype, 1e-5)
    for ours, reference in zip(*results, strict=True):
        torch.testing.assert_close(ours, reference, rtol=tolerance, atol=tolerance)


@pytest.mark.triton
def test_nothing_to_add_up(triton_device: torch.device) -> None:
    features = torch.zeros(3, 2, device=triton_device, requires_grad=True)
    idx = torch.zeros(0, 4, dtype=torch.int64, device=triton_device)
    weighted_sum(features, idx, torch.zeros(0, 4, device=triton_device)).sum().backward()
    assert features.grad is not None and (features.grad == 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["fp16", "bf16", "fp32", "fp64"])
@pytest.mark.parametrize(
    ("kernel", "names"),
    [
        (_triton.forward_kernel, "features idx weights out n rows"),
        (_triton.backward_features_kernel, "grad entries first weights out rows"),
        (_triton.backward_weights_kernel, "grad features idx out n rows"),
    ],
    ids=["forward", "backward_features", "backward_weights"],
)
def test_the_kernels_compile(
    compile_kernel: Callable[..., None], kernel: Any, names: str, dtype: str
) -> None:
    working = "fp64" if dtype == "fp64" else "fp32"
    kinds = dict.fromkeys(("idx", "entries", "first"), "*i64") | dict.fromkeys(("n", "rows"), "i32")
    kinds["weights"] = f"*{working}"
    if kernel is _triton.backward_weights_kernel:
        kinds["out"] = f"*{working}"
    types = {name: kinds.get(name, f"*{dtype}") for name in names.split()}
    compile_kernel(kernel, {**types, "channels": "i32", "k": "i32"}, {"BLOCK": 32, "BLOCK_C": 64})
