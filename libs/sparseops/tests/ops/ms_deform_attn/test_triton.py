import pytest
import torch
from sparseops import ms_deform_attn
from sparseops.ops.ms_deform_attn._reference import ms_deform_attn as ms_deform_attn_reference

SHAPES = [(3, 4), (1, 2)]


def inputs(device: torch.device, *, queries: int, channels: int, dtype: torch.dtype) -> list[torch.Tensor]:
    """Value, locations (some outside) and weights: two samples, two levels, two heads, three points."""
    value = torch.randn(2, 14, 2, channels, dtype=dtype)
    locations = torch.rand(2, queries, 2, 2, 3, 2, dtype=dtype) * 1.6 - 0.3
    weights = torch.randn(2, queries, 2, 2, 3, dtype=dtype)
    return [tensor.to(device).requires_grad_() for tensor in (value, locations, weights)]


@pytest.mark.triton
@pytest.mark.parametrize(("queries", "channels"), [(7, 5), (1, 1), (20, 32)])
def test_values_and_gradients_equal_the_reference(triton_device, queries: int, channels: int) -> None:
    leaves = inputs(triton_device, queries=queries, channels=channels, dtype=torch.float32)
    upstream = torch.randn(2, queries, 2 * channels, device=triton_device)
    flat = [n for size in SHAPES for n in size]
    ours = ms_deform_attn(leaves[0], SHAPES, *leaves[1:])
    wanted = ms_deform_attn_reference(leaves[0], flat, *leaves[1:])
    torch.testing.assert_close(ours, wanted, rtol=1e-5, atol=1e-5)
    grads = [torch.autograd.grad(out, leaves, upstream) for out in (ours, wanted)]
    for got, reference in zip(*grads, strict=True):
        torch.testing.assert_close(got, reference, rtol=1e-4, atol=1e-4)


@pytest.mark.triton
def test_gradcheck(triton_device) -> None:
    value = torch.randn(1, 5, 1, 2, dtype=torch.float64, device=triton_device)
    locations = torch.rand(1, 2, 1, 2, 2, 2, dtype=torch.float64, device=triton_device) * 1.6 - 0.3
    weights = torch.randn(1, 2, 1, 2, 2, dtype=torch.float64, device=triton_device)
    leaves = [leaf.requires_grad_() for leaf in (value, locations, weights)]
    shapes = [(2, 2), (1, 1)]
    assert torch.autograd.gradcheck(lambda *leaf: ms_deform_attn(leaf[0], shapes, *leaf[1:]), leaves)


@pytest.mark.triton
def test_samples_outside_or_not_finite_add_nothing(triton_device) -> None:
    locations = torch.tensor([[-0.3, 0.5], [0.5, 1.3], [torch.nan, 0.5], [torch.inf, 0.5]])
    leaves = [torch.ones(1, 4, 1, 1), locations.view(1, 1, 1, 1, 4, 2), torch.ones(1, 1, 1, 1, 4)]
    leaves = [leaf.to(triton_device).requires_grad_() for leaf in leaves]
    out = ms_deform_attn(leaves[0], [(2, 2)], *leaves[1:])
    assert out.item() == 0
    for grad in torch.autograd.grad(out.sum(), leaves):
        assert (grad == 0).all()


@pytest.mark.triton
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(triton_device, dtype: torch.dtype) -> None:
    value, *rest = inputs(triton_device, queries=3, channels=4, dtype=torch.float32)
    half = value.detach().to(dtype).requires_grad_()
    out = ms_deform_attn(half, SHAPES, *rest)
    assert torch.equal(out, ms_deform_attn(half.float(), SHAPES, *rest).to(dtype))
    out.sum().backward()
    assert half.grad is not None
    assert half.grad.dtype == dtype


@pytest.mark.triton
def test_strided_inputs_and_no_queries(triton_device) -> None:
    value, locations, weights = (
        leaf.detach() for leaf in inputs(triton_device, queries=3, channels=4, dtype=torch.float32)
    )
    strided = [tensor.transpose(0, 1).contiguous().transpose(0, 1) for tensor in (value, locations, weights)]
    dense = ms_deform_attn(value, SHAPES, locations, weights)
    assert torch.equal(ms_deform_attn(strided[0], SHAPES, *strided[1:]), dense)
    leaf = value.requires_grad_()
    out = ms_deform_attn(leaf, SHAPES, locations[:, :0], weights[:, :0])
    assert out.shape == (2, 0, 8)
    assert (torch.autograd.grad(out.sum(), leaf)[0] == 0).all()


@pytest.mark.parametrize("kind", ["fp32", pytest.param("fp64", marks=pytest.mark.slow)])
def test_kernels_compile(compile_kernel, kind: str) -> None:
    from sparseops.ops.ms_deform_attn import _triton

    floats = ("value", "locations", "weights", "grad", "out", "grad_locations", "grad_weights")
    integers = ("cells", "queries", "heads", "channels", "level_count", "points", "keys_per_head", "no_key")
    types = {**dict.fromkeys(floats, f"*{kind}"), **dict.fromkeys(integers, "i32")}
    types |= {"levels": "*i64", "keys": "*i32", "order": "*i64", "starts": "*i64"}
    for channels in (1, 16, 32):
        blocks = {"QUERIES": 512 // channels, "CHANNELS": channels}
        for kernel in (_triton._forward, _triton._sample_grads):
            compile_kernel(kernel, {n: types[n] for n in kernel.arg_names if n in types}, blocks)
        kernel, blocks = _triton._value_grad, {"SAMPLES": 16, "CHANNELS": channels}
        compile_kernel(kernel, {n: types[n] for n in kernel.arg_names if n in types}, blocks, num_warps=1)
