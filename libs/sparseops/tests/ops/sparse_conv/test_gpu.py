"""The convolution on a CUDA device at realistic sizes: precision, determinism, tuning, no waiting."""

import json
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import pytest
import torch
from sparseops import KernelMap, sites_from_coords, sparse_conv, strided_map, submanifold_map
from sparseops.ops.sparse_conv import _reference
from torch import Tensor

pytestmark = pytest.mark.gpu

SIDE = 200
SHAPE = (40, SIDE, SIDE)


@pytest.fixture(scope="module", autouse=True)
def _device() -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    pytest.importorskip("triton")


@pytest.fixture(autouse=True)
def _untuned(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SPARSEOPS_AUTOTUNE", "0")
    monkeypatch.setenv("SPARSEOPS_CACHE_DIR", str(tmp_path))


@pytest.fixture(scope="module")
def plans() -> list[KernelMap]:
    """Maps on a hilly surface of 40,000 cells in random order: submanifold, strided, and back."""
    y, x = (axis.flatten() for axis in torch.meshgrid(*[torch.arange(SIDE)] * 2, indexing="ij"))
    z = ((y / 9).sin() * 12 + (x / 14).cos() * 7 + 20).long()
    coords = torch.stack([torch.zeros_like(z), z, y, x], dim=1).int()
    coords = coords[torch.randperm(len(coords), generator=torch.Generator().manual_seed(0))].cuda()
    sites = sites_from_coords(coords, spatial_shape=SHAPE, batch_size=1)
    strided = strided_map(sites, kernel_size=3, stride=2, padding=1)
    return [submanifold_map(sites, kernel_size=3), strided, strided.transposed]


def tensors(plan: KernelMap, cin: int, cout: int, dtype: torch.dtype) -> list[Tensor]:
    """Features, weight, bias and a gradient of the output."""
    kernel = plan.window.kernel_size
    sizes = (len(plan.sites_in), cin), (*kernel, cin, cout), (cout,), (len(plan.sites_out), cout)
    return [torch.randn(size, device="cuda").to(dtype) for size in sizes]


def results(plan: KernelMap, given: list[Tensor]) -> list[Tensor]:
    """Output and all gradients."""
    leaves = [tensor.detach().clone().requires_grad_() for tensor in given[:3]]
    out = sparse_conv(leaves[0], leaves[1], bias=leaves[2], kernel_map=plan)
    return [out.detach(), *torch.autograd.grad(out, leaves, given[3])]


def expected(plan: KernelMap, given: list[Tensor]) -> list[Tensor]:
    """The same in float64, from the reference."""
    features, weight, bias, upstream = (tensor.double() for tensor in given)
    flat, back = weight.reshape(-1, *weight.shape[-2:]), plan.transposed
    lists = plan.pairs_in, plan.pairs_out, plan.segments
    lists_back = back.pairs_in, back.pairs_out, back.segments
    out = _reference.sparse_conv(features, flat, bias, *lists, len(plan.sites_out))
    grad = _reference.sparse_conv(upstream, flat.transpose(1, 2), None, *lists_back, len(plan.sites_in))
    grad_weight = _reference.weight_grad(features, upstream, *lists).reshape(weight.shape)
    return [out, grad, grad_weight, upstream.sum(0)]


def check(found: list[Tensor], wanted: list[Tensor], tolerance: float) -> None:
    for got, want in zip(found, wanted, strict=True):
        error = float((got.double() - want).abs().max() / want.abs().max())
        assert error < tolerance


@pytest.mark.parametrize("name", ["float32", "tf32", "float16", "bfloat16", "float64"])
@pytest.mark.parametrize(("cin", "cout"), [(4, 16), (64, 64), (128, 33)])
def test_every_type_is_as_precise_as_it_can_be(
    plans: list[KernelMap], monkeypatch: pytest.MonkeyPatch, name: str, cin: int, cout: int
) -> None:
    tolerance = {"float32": 1e-5, "tf32": 3e-3, "float16": 3e-3, "bfloat16": 1e-2, "float64": 1e-12}[name]
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", name == "tf32")
    dtype = torch.float32 if name == "tf32" else getattr(torch, name)
    for plan in plans:
        given = tensors(plan, cin, cout, dtype)
        # Steps of 1/8 keep the sums of the bias gradient exact in every type.
        given[3] = given[3].mul(8).round().clamp(-8, 8).div(8)
        found = results(plan, given)
        assert all(tensor.dtype == dtype for tensor in found)
        check(found[:3], expected(plan, given)[:3], tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
@pytest.mark.parametrize("channels", [16, 64, 128])
def test_every_configuration_gives_the_same_sums(
    plans: list[KernelMap], dtype: torch.dtype, channels: int
) -> None:
    from sparseops.ops.sparse_conv import _triton

    tolerance = 1e-5 if dtype == torch.float32 else 3e-3
    for plan in plans[:2]:
        given = tensors(plan, channels, channels, dtype)
        features, weight, bias, upstream = given
        flat, want = weight.reshape(-1, channels, channels), expected(plan, given)
        table, rows = plan.table, len(plan.sites_out)
        for config in _triton.conv_candidates(dtype, channels, channels, len(flat), rows.bit_length()):
            out = torch.full_like(upstream, torch.nan)
            _triton._convolve(features, flat, bias, table.rows, table.schedule, out, config)
            check([out], want[:1], tolerance)
        for config in _triton.grad_candidates(dtype, channels, channels):
            grad = torch.full_like(flat, torch.nan)
            _triton._differentiate(features, upstream, table.pairs_by_offset, grad, config)
            check([grad.reshape(weight.shape)], want[2:3], tolerance)


def test_two_runs_are_equal_bit_by_bit(plans: list[KernelMap]) -> None:
    for plan, dtype in product(plans, (torch.float16, torch.float32)):
        given = tensors(plan, 64, 64, dtype)
        for a, b in zip(results(plan, given), results(plan, given), strict=True):
            assert torch.equal(a, b)


def test_few_rows_are_split_among_programs_and_added_in_order() -> None:
    from sparseops.ops.sparse_conv import _triton

    coords = torch.cartesian_prod(*[torch.arange(n) for n in (1, 4, 16, 16)]).int().cuda()
    plan = submanifold_map(sites_from_coords(coords, spatial_shape=(4, 16, 16), batch_size=1), kernel_size=3)
    assert _triton.conv_candidates(torch.float16, 128, 128, 27, len(coords).bit_length())[0].split > 1
    given = tensors(plan, 128, 128, torch.float16)
    first, second = results(plan, given), results(plan, given)
    check(first, expected(plan, given), 3e-3)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.fixture
def no_waiting() -> Iterator[Callable[[bool], None]]:
    """Switch errors at operations that wait for the device on or off."""
    yield lambda on: torch.cuda.set_sync_debug_mode("error" if on else "default")
    torch.cuda.set_sync_debug_mode("default")


@pytest.mark.filterwarnings("ignore:.*prototype feature:UserWarning")
def test_convolving_never_waits_for_the_device(
    plans: list[KernelMap], no_waiting: Callable[[bool], None]
) -> None:
    for plan in plans:
        given = tensors(plan, 32, 32, torch.float16)
        results(plan, given)
        no_waiting(True)
        results(plan, given)
        no_waiting(False)


@pytest.mark.filterwarnings("ignore:.*prototype feature:UserWarning")
def test_planning_on_known_sites_does_not_wait(
    plans: list[KernelMap], no_waiting: Callable[[bool], None]
) -> None:
    given = tensors(plans[0], 32, 32, torch.float16)
    results(submanifold_map(plans[0].sites_in, kernel_size=3), given)
    no_waiting(True)
    results(submanifold_map(plans[0].sites_in, kernel_size=3), given)
    no_waiting(False)


def test_tuning_is_kept_on_disk(
    plans: list[KernelMap], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from sparseops._triton import autotune

    monkeypatch.delenv("SPARSEOPS_AUTOTUNE")
    autotune._tuner.cache_clear()
    given = tensors(plans[0], 16, 16, torch.float16)
    found = results(plans[0], given)
    check(found, expected(plans[0], given), 3e-3)
    (path,) = tmp_path.iterdir()
    content = json.loads(path.read_text())
    assert [key.split()[0] for key in content] == ["backward", "forward", "weight"]
    # A later process takes the same configurations, so it computes the same bits.
    autotune._tuner.cache_clear()
    monkeypatch.setattr(autotune, "time_on_device", lambda run: pytest.fail("measured again"))
    for a, b in zip(results(plans[0], given), found, strict=True):
        assert torch.equal(a, b)
    autotune._tuner.cache_clear()


def test_autocast_computes_in_half_precision(plans: list[KernelMap]) -> None:
    given = tensors(plans[0], 32, 32, torch.float32)
    with torch.autocast("cuda", dtype=torch.bfloat16):
        out = sparse_conv(given[0], given[1], bias=given[2], kernel_map=plans[0])
    assert out.dtype == torch.bfloat16
    check([out], expected(plans[0], given)[:1], 2e-2)


def test_a_captured_graph_replays_the_convolution(
    plans: list[KernelMap], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SPARSEOPS_AUTOTUNE")
    features, weight, _, _ = tensors(plans[0], 32, 48, torch.float16)
    with torch.no_grad():
        # Capture of an unknown size: the first candidate, nothing is measured. It has to be compiled before.
        monkeypatch.setenv("SPARSEOPS_AUTOTUNE", "0")
        sparse_conv(features, weight, kernel_map=plans[0])
        monkeypatch.delenv("SPARSEOPS_AUTOTUNE")
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            out = sparse_conv(features, weight, kernel_map=plans[0])
        features.copy_(torch.randn_like(features))
        graph.replay()
        monkeypatch.setenv("SPARSEOPS_AUTOTUNE", "0")
        assert torch.equal(out, sparse_conv(features, weight, kernel_map=plans[0]))
