import pytest
import torch
from sparseops import group
from sparseops.ops.group._reference import group as group_reference
from sparseops.ops.group._reference import group_backward as group_backward_reference


@pytest.mark.triton
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(2, 3, 7, 4, 5), (1, 19, 5, 70, 4), (1, 1, 1, 1, 1), (2, 3, 5, 0, 4)])
def test_values_and_gradient_equal_the_reference(triton_device, dtype, shape) -> None:
    from sparseops.ops.group._triton import group as group_triton
    from sparseops.ops.group._triton import group_backward as group_backward_triton

    b, c, n, m, s = shape
    # Small integers add up exactly in any order and any type.
    features = torch.randint(-3, 4, (b, c, n), device=triton_device).to(dtype)
    grad = torch.randint(-1, 2, (b, c, m, s), device=triton_device).to(dtype)
    idx = torch.randint(0, n, (b, m, s), device=triton_device)
    assert torch.equal(group_triton(features, idx), group_reference(features, idx))
    assert torch.equal(group_backward_triton(grad, idx, n), group_backward_reference(grad, idx, n))


@pytest.mark.triton
def test_rows_outside_read_zeros_and_receive_nothing(triton_device) -> None:
    from sparseops.ops.group._triton import group as group_triton
    from sparseops.ops.group._triton import group_backward as group_backward_triton

    idx = torch.tensor([[[0, 2, -1, 9]]], device=triton_device)
    assert group_triton(torch.ones(1, 1, 2, device=triton_device), idx).flatten().tolist() == [1, 0, 0, 0]
    grad = torch.ones(1, 1, 1, 4, device=triton_device)
    assert group_backward_triton(grad, idx, 2).flatten().tolist() == [1, 0]


@pytest.mark.triton
def test_gradcheck_with_strided_inputs(triton_device) -> None:
    features = torch.rand(2, 3, 2, dtype=torch.float64, device=triton_device).transpose(1, 2).requires_grad_()
    idx = torch.randint(0, 3, (2, 1, 4), device=triton_device, dtype=torch.int32).transpose(1, 2)
    assert torch.autograd.gradcheck(lambda f: group(f, idx), (features,))


@pytest.mark.parametrize("kind", ["fp16", "bf16", "fp32", "fp64"])
def test_the_kernel_compiles(compile_kernel, kind: str) -> None:
    from sparseops.ops.group import _triton

    types = {"features": f"*{kind}", "idx": "*i64", "out": f"*{kind}"}
    sizes = {"channels": "i32", "n": "i32", "entries": "i32"}
    compile_kernel(_triton._gather, {**types, **sizes}, {"ENTRIES": 256, "CHANNELS": 16})
