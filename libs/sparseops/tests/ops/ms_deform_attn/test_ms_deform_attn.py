import pytest
import torch
from sparseops import ms_deform_attn
from sparseops.ops.ms_deform_attn import _ops
from torch.nn.functional import grid_sample

SHAPES = [(5, 7), (3, 4), (1, 2)]


def inputs(*, batch: int = 2, queries: int = 6, dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    """Value, locations (some outside) and weights: three levels, two heads of five channels, four points."""
    cells = sum(h * w for h, w in SHAPES)
    value = torch.randn(batch, cells, 2, 5, dtype=dtype)
    locations = torch.rand(batch, queries, 2, 3, 4, 2, dtype=dtype) * 1.6 - 0.3
    weights = torch.randn(batch, queries, 2, 3, 4, dtype=dtype)
    return [tensor.requires_grad_() for tensor in (value, locations, weights)]


@pytest.mark.golden
def test_values_and_gradients_equal_the_official_ones(imagepg_ops) -> None:
    leaves = [imagepg_ops[f"msda_{name}"].clone().requires_grad_() for name in ("value", "loc", "weight")]
    out = ms_deform_attn(leaves[0], imagepg_ops["msda_shape_hw"][None], leaves[1], leaves[2])
    torch.testing.assert_close(out, imagepg_ops["msda_out"], rtol=1e-5, atol=1e-5)
    out.backward(imagepg_ops["msda_grad_out"])
    for leaf, name in zip(leaves, ("value", "loc", "weight"), strict=True):
        torch.testing.assert_close(leaf.grad, imagepg_ops[f"msda_grad_{name}"], rtol=1e-5, atol=1e-4)


@pytest.mark.golden
def test_the_reference_differs_from_the_official_gradient_at_whole_pixels_only(
    imagepg_ops, monkeypatch
) -> None:
    monkeypatch.setenv("SPARSEOPS_BACKEND", "reference")
    locations = imagepg_ops["msda_loc"].clone().requires_grad_()
    shape = imagepg_ops["msda_shape_hw"]
    out = ms_deform_attn(imagepg_ops["msda_value"], shape[None], locations, imagepg_ops["msda_weight"])
    out.backward(imagepg_ops["msda_grad_out"])
    pixels = locations.detach() * shape.flip(0) - 0.5
    smooth = (pixels - pixels.round()).abs() > 1e-5
    assert smooth.float().mean() > 0.99
    assert locations.grad is not None
    torch.testing.assert_close(
        locations.grad[smooth], imagepg_ops["msda_grad_loc"][smooth], rtol=1e-5, atol=1e-3
    )


def test_equals_grid_sample_level_by_level(backend: str) -> None:
    value, locations, weights = inputs()
    wanted = torch.zeros(2, 6, 2, 5)
    start = 0
    for level, (h, w) in enumerate(SHAPES):
        for head in range(2):
            level_map = value[:, start : start + h * w, head].transpose(1, 2).reshape(2, 5, h, w)
            sampled = grid_sample(level_map, 2 * locations[:, :, head, level] - 1, align_corners=False)
            wanted[:, :, head] += torch.einsum("bdqp,bqp->bqd", sampled, weights[:, :, head, level])
        start += h * w
    torch.testing.assert_close(
        ms_deform_attn(value, SHAPES, locations, weights), wanted.flatten(2), rtol=1e-5, atol=1e-5
    )


def test_gradcheck(backend: str, threads) -> None:
    threads(1)
    shapes = [(2, 3), (1, 2)]
    value = torch.randn(1, 8, 2, 3, dtype=torch.float64)
    locations = torch.rand(1, 2, 2, 2, 2, 2, dtype=torch.float64) * 1.6 - 0.3
    weights = torch.randn(1, 2, 2, 2, 2, dtype=torch.float64)
    leaves = [leaf.requires_grad_() for leaf in (value, locations, weights)]
    assert torch.autograd.gradcheck(lambda *leaf: ms_deform_attn(leaf[0], shapes, *leaf[1:]), leaves)


def test_back_ends_have_the_same_gradients(monkeypatch) -> None:
    leaves = inputs(queries=63)
    upstream = torch.randn(2, 63, 10)
    grads = []
    for name in ("", "reference"):
        monkeypatch.setenv("SPARSEOPS_BACKEND", name)
        grads.append(torch.autograd.grad(ms_deform_attn(leaves[0], SHAPES, *leaves[1:]), leaves, upstream))
    for ours, reference in zip(*grads, strict=True):
        torch.testing.assert_close(ours, reference, rtol=1e-4, atol=1e-4)


def test_samples_outside_or_not_finite_add_nothing() -> None:
    locations = torch.tensor([[-0.3, 0.5], [0.5, 1.3], [torch.nan, 0.5], [torch.inf, 0.5]]).view(
        1, 1, 1, 1, 4, 2
    )
    leaves = [torch.ones(1, 4, 1, 1), locations, torch.ones(1, 1, 1, 1, 4)]
    leaves = [leaf.requires_grad_() for leaf in leaves]
    out = ms_deform_attn(leaves[0], [(2, 2)], leaves[1], leaves[2])
    out.sum().backward()
    assert out.item() == 0
    for leaf in leaves:
        assert leaf.grad is not None
        assert (leaf.grad == 0).all()


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 2e-2), (torch.bfloat16, 4e-2)])
def test_half_precision_is_computed_in_float32(backend: str, dtype: torch.dtype, tolerance: float) -> None:
    value, locations, weights = inputs()
    half = value.detach().to(dtype).requires_grad_()
    out = ms_deform_attn(half, SHAPES, locations, weights)
    assert out.dtype == dtype
    exact = ms_deform_attn(half.float(), SHAPES, locations, weights)
    torch.testing.assert_close(out.float(), exact, rtol=tolerance, atol=tolerance)
    out.sum().backward()
    assert half.grad is not None
    assert half.grad.dtype == dtype


def test_no_queries(backend: str) -> None:
    value, locations, weights = inputs(queries=0)
    out = ms_deform_attn(value, SHAPES, locations, weights)
    assert out.shape == (2, 0, 10)
    out.sum().backward()
    assert value.grad is not None
    assert (value.grad == 0).all()


def test_a_batch_equals_its_samples_one_by_one() -> None:
    value, locations, weights = inputs()
    alone = [
        ms_deform_attn(value[i : i + 1], SHAPES, locations[i : i + 1], weights[i : i + 1]) for i in range(2)
    ]
    assert torch.equal(ms_deform_attn(value, SHAPES, locations, weights), torch.cat(alone))


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_inputs_may_be_strided_and_shapes_a_tensor(backend: str, dtype: torch.dtype) -> None:
    tensors = [leaf.detach() for leaf in inputs()]
    strided = [tensor.transpose(0, 1).contiguous().transpose(0, 1).requires_grad_() for tensor in tensors]
    out = ms_deform_attn(strided[0], torch.tensor(SHAPES, dtype=dtype), *strided[1:])
    torch.testing.assert_close(out, ms_deform_attn(tensors[0], SHAPES, *tensors[1:]))
    grads = torch.autograd.grad(out.square().sum(), strided)
    assert all(grad.isfinite().all() for grad in grads)


def test_one_query_on_a_map_of_one_cell(backend: str) -> None:
    value, weights = torch.tensor([[[[3.0]]]]), torch.tensor([[[[[0.5, 2.0]]]]])
    # The centre of the cell, and its edge, half of which is zero padding.
    locations = torch.tensor([[0.5, 0.5], [0.0, 0.5]]).view(1, 1, 1, 1, 2, 2)
    assert ms_deform_attn(value, [(1, 1)], locations, weights).item() == 0.5 * 3 + 2 * 1.5


def test_result_does_not_depend_on_the_threads(threads) -> None:
    leaves = inputs(queries=63)
    results = []
    for count in (1, 2):
        threads(count)
        out = ms_deform_attn(leaves[0], SHAPES, *leaves[1:])
        results.append([out, *torch.autograd.grad(out.square().sum(), leaves)])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.slow
def test_the_operators_pass_opcheck() -> None:
    shapes = [n for size in SHAPES for n in size]
    value, locations, weights = inputs(queries=3)
    torch.library.opcheck(_ops.ms_deform_attn, (value, shapes, locations, weights))
    plain = [leaf.detach() for leaf in (value, locations, weights)]
    torch.library.opcheck(_ops.ms_deform_attn_backward, (torch.randn(2, 3, 10), plain[0], shapes, *plain[1:]))


@pytest.mark.usefixtures("no_shape_checks")
def test_wrong_arguments_are_named() -> None:
    value, locations, weights = (leaf.detach() for leaf in inputs())
    with pytest.raises(ValueError, match=r"ms_deform_attn: value must have shape \[B, S, H, D\]"):
        ms_deform_attn(value[0], SHAPES, locations, weights)
    with pytest.raises(
        ValueError, match=r"locations must have shape \[2, Q, 2, 2, P, 2\], got \[2, 6, 2, 3, 4, 2\]"
    ):
        ms_deform_attn(value, SHAPES[:2], locations, weights)
    with pytest.raises(ValueError, match=r"weights must have shape \[2, 6, 2, 3, 4\], got \[2, 5, 2, 3, 4\]"):
        ms_deform_attn(value, SHAPES, locations, weights[:, :5])
    with pytest.raises(ValueError, match=r"value_spatial_shapes \[.*\] hold 49 cells, but value has 48"):
        ms_deform_attn(value[:, :48], SHAPES, locations, weights)
    with pytest.raises(TypeError, match=r"ms_deform_attn: attention_weights must be .*, got int64"):
        ms_deform_attn(value, SHAPES, locations, weights.long())
