"""The Triton convolution against the reference: values, gradients, types, sizes, registration."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from sparseops import KernelMap, sites_from_coords, sparse_conv, strided_map, submanifold_map
from sparseops.ops.kernel_map import _reference as _reference_maps
from sparseops.ops.kernel_map import _schedule
from sparseops.ops.sparse_conv import _ops, _reference
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

SHAPE = (5, 6, 7)


@pytest.fixture(autouse=True)
def _untuned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARSEOPS_AUTOTUNE", "0")


def plans(random_coords, device: torch.device, rows: int = 70) -> list[KernelMap]:
    coords = random_coords(rows, SHAPE, 2).to(device)
    sites = sites_from_coords(coords, spatial_shape=SHAPE, batch_size=2)
    strided = strided_map(sites, kernel_size=(3, 2, 1), stride=2, padding=(1, 0, 0))
    return [submanifold_map(sites, kernel_size=(1, 3, 3)), strided, strided.transposed]


def inputs(plan: KernelMap, cin: int, cout: int, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """Features, weight and bias, with gradients wanted."""
    device, kernel = plan.sites_in.coords.device, plan.window.kernel_size
    sizes = (len(plan.sites_in), cin), (*kernel, cin, cout), (cout,)
    return [torch.randn(size, device=device).to(dtype).requires_grad_() for size in sizes]


def results(plan: KernelMap, leaves: list[Tensor]) -> list[Tensor]:
    """Output, and all gradients of a weighted sum of it."""
    out = sparse_conv(leaves[0], leaves[1], bias=leaves[2], kernel_map=plan)
    # Steps of 1/8 are exact in every type.
    upstream = torch.arange(out.numel(), device=out.device).remainder(17).sub(8).div(8).reshape(out.shape)
    return [out.detach(), *torch.autograd.grad(out, leaves, upstream.to(out.dtype))]


def expected(plan: KernelMap, leaves: list[Tensor]) -> list[Tensor]:
    """The same in float64, from the reference."""
    features, weight, bias = (leaf.detach().double() for leaf in leaves)
    flat = weight.reshape(plan.window.volume, *weight.shape[-2:])
    lists = plan.pairs_in, plan.pairs_out, plan.segments
    back = plan.transposed
    out = _reference.sparse_conv(features, flat, bias, *lists, len(plan.sites_out))
    upstream = torch.arange(out.numel(), device=out.device).remainder(17).sub(8).div(8).reshape(out.shape)
    upstream = upstream.double()
    grad = _reference.sparse_conv(
        upstream, flat.transpose(1, 2), None, back.pairs_in, back.pairs_out, back.segments, len(plan.sites_in)
    )
    grad_weight = _reference.weight_grad(features, upstream, *lists).reshape(weight.shape)
    return [out, grad, grad_weight, upstream.sum(0)]


def check(found: list[Tensor], wanted: list[Tensor], tolerance: float) -> None:
    for got, want in zip(found, wanted, strict=True):
        scale = float(want.abs().max()) if want.numel() else 0.0
        torch.testing.assert_close(got.double(), want, atol=tolerance * scale, rtol=tolerance)


@pytest.mark.triton
@pytest.mark.parametrize(("cin", "cout"), [(4, 16), (5, 31), (33, 5), (1, 1), (80, 17), (16, 96)])
def test_any_number_of_channels_equals_the_reference(
    random_coords, triton_device: torch.device, cin: int, cout: int
) -> None:
    for plan in plans(random_coords, triton_device):
        leaves = inputs(plan, cin, cout)
        check(results(plan, leaves), expected(plan, leaves), 1e-5)


@pytest.mark.triton
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_every_type_keeps_its_type_and_sums_wide(
    random_coords, triton_device: torch.device, dtype: torch.dtype
) -> None:
    tolerance = {torch.float16: 2e-3, torch.bfloat16: 1e-2, torch.float64: 1e-12}[dtype]
    for plan in plans(random_coords, triton_device):
        leaves = inputs(plan, 16, 20, dtype)
        found = results(plan, leaves)
        assert all(tensor.dtype == dtype for tensor in found)
        check(found, expected(plan, leaves), tolerance)


@pytest.mark.triton
def test_kernels_of_more_than_64_offsets(random_coords, triton_device: torch.device) -> None:
    sites = sites_from_coords(
        random_coords(60, (4, 4, 4)).to(triton_device), spatial_shape=(4, 4, 4), batch_size=1
    )
    plan = submanifold_map(sites, kernel_size=5)
    leaves = inputs(plan, 4, 6)
    check(results(plan, leaves), expected(plan, leaves), 1e-5)


@pytest.mark.triton
def test_every_configuration_gives_the_same_sums(random_coords, triton_device: torch.device) -> None:
    from sparseops.ops.sparse_conv import _triton

    plan = plans(random_coords, triton_device, rows=150)[0]
    features, weight, bias = (leaf.detach() for leaf in inputs(plan, 40, 24))
    flat = weight.reshape(9, 40, 24)
    want = expected(plan, [features, weight, bias])
    table, schedule, pairs = plan.table.rows, plan.table.schedule, plan.table.pairs_by_offset
    for rows, ordered, split in ((128, 1, 1), (128, 0, 3), (64, 1, 16), (64, 0, 1)):
        config = _triton.ConvConfig(rows, 16, 16, 4, 2, ordered, split)
        out = torch.empty_like(want[0], dtype=torch.float32)
        _triton._convolve(features, flat, bias, table, schedule, out, config)
        check([out], want[:1], 1e-5)
    upstream = torch.arange(out.numel(), device=out.device).remainder(17).sub(8).div(8).reshape(out.shape)
    for parts in (16, 64, 4096):
        grad = torch.empty_like(flat)
        _triton._differentiate(features, upstream, pairs, grad, _triton.GradConfig(32, 16, 16, 4, 2, parts))
        check([grad.reshape(weight.shape)], [want[2]], 1e-5)


@pytest.mark.triton
@pytest.mark.parametrize("rows", [0, 1])
def test_no_site_and_a_single_one(random_coords, triton_device: torch.device, rows: int) -> None:
    for plan in plans(random_coords, triton_device, rows):
        leaves = inputs(plan, 3, 4)
        check(results(plan, leaves), expected(plan, leaves), 1e-5)


@pytest.mark.triton
def test_no_channels(random_coords, triton_device: torch.device) -> None:
    plan = plans(random_coords, triton_device)[0]
    for cin, cout in ((0, 3), (3, 0)):
        leaves = inputs(plan, cin, cout)
        check(results(plan, leaves), expected(plan, leaves), 1e-5)


@pytest.mark.triton
def test_rows_without_pairs_get_the_bias(random_coords, triton_device: torch.device) -> None:
    strided = plans(random_coords, triton_device)[1]
    apart = torch.full_like(strided.table.rows, -1)
    bias = torch.randn(4, device=triton_device)
    features, weight = torch.randn(9, 3, device=triton_device), torch.randn(6, 3, 4, device=triton_device)
    out = _ops.sparse_conv_table(features, weight, bias, [apart, *_schedule.tile_schedule(apart)], [], [])
    assert torch.equal(out, bias.expand(len(apart), 4))


@pytest.mark.triton
def test_gradients_are_derivatives(random_coords, triton_device: torch.device) -> None:
    plan = plans(random_coords, triton_device, rows=6)[1]
    leaves = inputs(plan, 2, 3, torch.float64)
    assert torch.autograd.gradcheck(
        lambda f, w, b: sparse_conv(f, w, bias=b, kernel_map=plan), leaves, fast_mode=True
    )


@pytest.mark.triton
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_operators_pass_opcheck(random_coords, triton_device: torch.device) -> None:
    plan = plans(random_coords, triton_device, rows=20)[1]
    features, weight, bias = inputs(plan, 3, 4)
    flat = weight.detach().reshape(6, 3, 4).requires_grad_()
    there = [plan.table.rows, *plan.table.schedule]
    back = [plan.transposed.table.rows, *plan.transposed.table.schedule]
    pairs = plan.table.pairs_by_offset
    for offset in (None, bias):
        torch.library.opcheck(_ops.sparse_conv_table, (features, flat, offset, there, back, pairs))
    grad = torch.randn(len(plan.sites_out), 4, device=triton_device)
    torch.library.opcheck(_ops.table_weight_grad, (features.detach(), grad, pairs))


@pytest.mark.triton
def test_a_compiled_graph_has_no_breaks(random_coords, triton_device: torch.device) -> None:
    plan = plans(random_coords, triton_device, rows=20)[1]
    leaves = inputs(plan, 3, 4)
    features, weight, bias = leaves[0], leaves[1].detach().reshape(6, 3, 4), leaves[2]
    there = [plan.table.rows, *plan.table.schedule]
    back = [plan.transposed.table.rows, *plan.transposed.table.schedule]
    compiled = torch.compile(_ops.sparse_conv_table, fullgraph=True, backend="aot_eager")
    out = compiled(features, weight, bias, there, back, plan.table.pairs_by_offset)
    (grad,) = torch.autograd.grad(out.sum(), features)
    want = sparse_conv(features, leaves[1], bias=bias, kernel_map=plan)
    assert torch.equal(out, want)
    assert torch.equal(grad, torch.autograd.grad(want.sum(), features)[0])


@pytest.mark.triton
def test_only_wanted_gradients_are_prepared(random_coords, triton_device: torch.device) -> None:
    sites = plans(random_coords, triton_device, rows=20)[0].sites_in
    plan = strided_map(sites, kernel_size=2, stride=2)
    features, weight, _ = inputs(plan, 3, 4)
    sparse_conv(features.detach(), weight.detach(), kernel_map=plan)
    with torch.no_grad():
        sparse_conv(features, weight, kernel_map=plan)
    assert not {"transposed", "pairs_by_offset"} & {*plan.__dict__, *plan.table.__dict__}
    sparse_conv(features.detach(), weight, kernel_map=plan).sum().backward()
    assert "transposed" not in plan.__dict__
    assert features.grad is None
    assert weight.grad is not None


@pytest.mark.parametrize(
    ("name", "compile_kernel"),
    # Half precision takes other instructions on the later generation; one type shows it.
    [
        ("fp16", 80),
        ("fp16", 90),
        ("bf16", 90),
        pytest.param("fp32", 80, marks=pytest.mark.slow),
        ("tf32", 90),
        ("fp64", 80),
    ],
    indirect=["compile_kernel"],
)
def test_kernels_compile(compile_kernel: Callable[..., None], name: str) -> None:
    import triton.language as tl
    from sparseops.ops.sparse_conv import _triton

    element = name.replace("tf", "fp")
    dtype = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp64": torch.float64}.get(name, torch.float32)
    wide = {"WIDE": tl.float64 if name == "fp64" else tl.float32}
    product_of = {**wide, "PRECISION": "tf32" if name == "tf32" else "ieee", "WIDEN": False}
    arrays = dict.fromkeys(("features", "weight", "bias", "grad"), f"*{element}")
    indices = dict.fromkeys(("table", "lists", "inputs", "outputs", "counts"), "*i32") | {"order": "*i64"}
    numbers = "rows cin cout volume stride_k stride_in stride_out split most pairs size"
    types = arrays | indices | dict.fromkeys(numbers.split(), "i32")
    sums = "*fp64" if name == "fp64" else "*fp32"

    def compile_one(kernel, constants, out, **options: int) -> None:
        named = {**types, "out": out, "parts": sums}
        named = {key: named[key] for key in kernel.arg_names if key in named and key not in constants}
        compile_kernel(kernel, named, constants, **options)

    best = _triton.conv_candidates(dtype, 64, 64, 27, 17)[0]
    conv = {"ROWS": best.rows, "COLUMNS": best.columns, "DEPTH": best.depth, **product_of}
    conv |= {"ORDERED": True, "EVEN": True}
    options = {"num_warps": best.warps, "num_stages": best.stages}
    compile_one(_triton.conv_kernel, conv, f"*{element}", **options)
    plain = {"ORDERED": False, "EVEN": False, "bias": None, "order": None}
    compile_one(_triton.conv_kernel, {**conv, **plain}, sums, **options)
    best = _triton.grad_candidates(dtype, 64, 64)[0]
    grad = {"CHANNELS": best.channels, "COLUMNS": best.columns, "DEPTH": best.depth, **product_of}
    compile_one(_triton.grad_kernel, grad, sums, num_warps=best.warps, num_stages=best.stages)
    compile_one(_triton.add_parts_kernel, {"BLOCK": 1024, **wide}, f"*{element}")
    compile_one(_triton.add_slices_kernel, {"BLOCK": 1024, **wide}, f"*{element}")
    # A one among the numbers becomes a constant of the kernel.
    ones = dict.fromkeys(numbers.split(), 1)
    for kernel, options in ((_triton.conv_kernel, conv), (_triton.grad_kernel, grad)):
        fixed = {key: value for key, value in {**ones, **options}.items() if key in kernel.arg_names}
        compile_one(kernel, fixed, f"*{element}")


class Unwaiting(TorchDispatchMode):
    """Refuses the operations whose result on a device the host has to await."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = str(func.overloadpacket).removeprefix("aten.")
        assert name not in ("_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero")
        assert "unique" not in name
        if name.startswith("index"):
            listed = [entry for entry in args if isinstance(entry, list | tuple)]
            assert all(index is None or index.dtype != torch.bool for entry in listed for index in entry)
        return func(*args, **(kwargs or {}))


@pytest.mark.triton
def test_nothing_on_the_way_waits_for_the_device(random_coords, triton_device: torch.device) -> None:
    from sparseops.ops.sparse_conv import _triton

    plan = plans(random_coords, triton_device, rows=30)[1]
    table, rows_in = plan.table.rows, len(plan.sites_in)
    features, weight = (
        torch.randn(rows_in, 4, device=triton_device),
        torch.randn(6, 4, 5, device=triton_device),
    )
    with Unwaiting():
        schedule = _schedule.tile_schedule(table)
        _reference_maps.transposed_table(table, rows_in=rows_in)
        out = _triton.sparse_conv_table(features, weight, None, table, schedule)
        _triton.table_weight_grad(features, out, _schedule.pairs_by_offset(table))
    with Unwaiting(), pytest.raises(AssertionError):
        features[features > 0]
