import pytest
import torch
from sparseops import scatter_max, scatter_mean, scatter_sum
from sparseops.ops.scatter._reference import scatter_argmax as scatter_argmax_reference
from sparseops.ops.scatter._reference import scatter_sum as scatter_sum_reference


def inputs(count: int, channels: int, groups: int, dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    """Quarters, which add up exactly in any order, with many ties, and some rows to leave out."""
    rows = torch.randint(-9, 9, (count, channels)) / 4
    return [rows.to(dtype), torch.randint(-1, groups, (count,))]


@pytest.mark.triton
@pytest.mark.parametrize(("count", "channels", "groups"), [(0, 3, 2), (1, 1, 1), (90, 5, 3), (70, 33, 9)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_results_equal_the_reference(triton_device, count, channels, groups, dtype) -> None:
    from sparseops.ops.scatter._triton import scatter_argmax as scatter_argmax_triton
    from sparseops.ops.scatter._triton import scatter_sum as scatter_sum_triton

    rows, index = (tensor.to(triton_device) for tensor in inputs(count, channels, groups, dtype))
    assert torch.equal(scatter_sum_triton(rows, index, groups), scatter_sum_reference(rows, index, groups))
    assert torch.equal(
        scatter_argmax_triton(rows, index, groups), scatter_argmax_reference(rows, index, groups)
    )


@pytest.mark.triton
def test_rows_outside_the_groups_are_left_out(triton_device) -> None:
    from sparseops.ops.scatter._triton import scatter_argmax as scatter_argmax_triton
    from sparseops.ops.scatter._triton import scatter_sum as scatter_sum_triton

    rows = torch.tensor([[1.0], [2.0], [4.0], [8.0]], device=triton_device)
    index = torch.tensor([-7, 0, 1, 2**40], device=triton_device)
    assert scatter_sum_triton(rows, index, 2).flatten().tolist() == [2.0, 4.0]
    assert scatter_argmax_triton(rows, index, 2).flatten().tolist() == [1, 2]


@pytest.mark.triton
def test_infinite_and_nan_rows(triton_device) -> None:
    nan, inf = float("nan"), float("inf")
    rows = torch.tensor([[1.0], [nan], [3.0], [nan], [-inf], [-inf]], device=triton_device)
    index = torch.tensor([0, 0, 0, 0, 1, 1], device=triton_device)
    values, source = scatter_max(rows, index, dim_size=3)
    assert source.flatten().tolist() == [1, 4, 6]
    assert values[0].isnan()
    assert values[1:].flatten().tolist() == [-inf, 0.0]


@pytest.mark.triton
def test_half_precision_is_added_up_in_float32(triton_device) -> None:
    from sparseops.ops.scatter._triton import scatter_sum as scatter_sum_triton

    # Added one by one in float16, the small numbers would not move the 1.
    rows = torch.full((80, 1), 1e-4).half()
    rows[0] = 1
    total = scatter_sum_triton(rows.to(triton_device), torch.zeros(80, device=triton_device).long(), 1)
    assert total.dtype == torch.float16
    assert total.item() == pytest.approx(1.0079, abs=1e-3)


@pytest.mark.triton
@pytest.mark.parametrize("function", [scatter_sum, scatter_mean, lambda *a, **k: scatter_max(*a, **k)[0]])
def test_gradcheck(triton_device, function) -> None:
    rows = torch.randn(9, 2, dtype=torch.float64, device=triton_device, requires_grad=True)
    index = torch.tensor([0, 2, -1, 2, 2, 0, 4, -3, 4], device=triton_device)
    assert torch.autograd.gradcheck(lambda leaf: function(leaf, index, dim_size=5), (rows,))


@pytest.mark.parametrize("kind", ["fp16", "bf16", "fp32", "fp64"])
def test_kernels_compile(compile_kernel, kind: str) -> None:
    from sparseops.ops.scatter import _triton

    exact = "fp64" if kind == "fp64" else "fp32"
    types = {"rows": f"*{kind}", "order": "*i64", "starts": "*i64", "channels": "i32"}
    blocks = {"ROWS": 32, "CHANNELS": 32}
    compile_kernel(_triton._sum, {**types, "out": f"*{exact}"}, blocks)
    if kind == exact:
        compile_kernel(_triton._argmax, {**types, "out": "*i64", "n": "i32"}, blocks)
