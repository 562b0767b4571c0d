"""Networks under torch.compile and autocast; `test_modes.py` has every operator and layer alone.

The path for clouds that change: plan the kernel maps outside (`planned`) and pass them to the compiled
network as arguments (`Network`), which is compiled once for all sizes (and once more when lists of one tile,
256 rows, become longer). The layers compile too, but where they find their maps in a warm cache they are
compiled anew for every cloud, for the cache goes by the identity of the sites.
"""

import shutil
import subprocess
import sys
from collections.abc import Callable

import pytest
import sparseops as so
import torch
from sparseops import KernelMap, Sites, SparseTensor
from sparseops.nn import SparseConv3d, SparseMaxPool3d, SparseSequential, SubmanifoldConv3d
from torch import Tensor, nn

SHAPE = (8, 9, 10)
BACKENDS = [
    "aot_eager",
    pytest.param(
        "inductor",
        marks=[
            pytest.mark.slow,
            pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler"),
        ],
    ),
]


@pytest.fixture(autouse=True)
def _plain_functions(no_shape_checks) -> None:
    """Compile the package as it is in use: the run-time checks of annotations are for tests only."""
    torch._dynamo.reset()


def compiled(function: Callable, backend: str = "aot_eager", *, dynamic: bool | None = None) -> Callable:
    return torch.compile(function, fullgraph=True, backend=backend, dynamic=dynamic)


def cloud(rows: int) -> tuple[Tensor, Tensor]:
    """Distinct cells in random order, `rows` at most, and their features."""
    columns = [torch.randint(size, (rows,)) for size in (2, *SHAPE)]
    coords = torch.unique(torch.stack(columns, dim=1).int(), dim=0)
    return coords[torch.randperm(len(coords))], torch.randn(len(coords), 4)


def planned(coords: Tensor) -> tuple[KernelMap, KernelMap, KernelMap]:
    """The maps of the network below, with those of its gradient."""
    sites = so.sites_from_coords(coords, spatial_shape=SHAPE, batch_size=2)
    first = so.submanifold_map(sites, kernel_size=3)
    second = so.strided_map(sites, kernel_size=3, stride=2, padding=1)
    third = so.strided_map(second.sites_out, kernel_size=2, stride=2)
    for kernel_map in (first, second, third):
        _ = kernel_map.transposed
    return first, second, third


class Network(nn.Module):
    """Submanifold convolution, normalisation, strided convolution, pooling: on maps planned outside."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = SubmanifoldConv3d(4, 8, 3), SparseConv3d(8, 6, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm1d(8)

    def forward(self, features: Tensor, plans: tuple[KernelMap, KernelMap, KernelMap]) -> Tensor:
        rows = so.sparse_conv(features, self.first.weight, bias=self.first.bias, kernel_map=plans[0])
        rows = torch.relu(self.norm(rows))
        rows = so.sparse_conv(rows, self.second.weight, bias=self.second.bias, kernel_map=plans[1])
        return so.sparse_max_pool(rows, kernel_map=plans[2])


def layers() -> SparseSequential:
    return SparseSequential(
        SubmanifoldConv3d(4, 8, 3, bias=False),
        nn.BatchNorm1d(8),
        nn.ReLU(),
        SparseConv3d(8, 6, 3, stride=2, padding=1),
        SparseMaxPool3d(2),
    )


def value_and_gradients(run: Callable[[Tensor], Tensor], module: nn.Module, features: Tensor) -> list[Tensor]:
    leaf = features.clone().requires_grad_()
    out = run(leaf)
    leaves = [leaf, *module.parameters()]
    return [out.detach(), *torch.autograd.grad(out.square().sum(), leaves)]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_network_on_planned_maps_compiles_once_for_all_sizes(backend: str) -> None:
    from torch._dynamo.testing import CompileCounterWithBackend

    network = Network()
    graphs = CompileCounterWithBackend(backend)
    fast = torch.compile(network, fullgraph=True, backend=graphs, dynamic=True)
    compilations = []
    for rows in (60, 90, 130):
        coords, features = cloud(rows)
        plans = planned(coords)
        wanted, got = (
            value_and_gradients(lambda leaf, run=run, plans=plans: run(leaf, plans), network, features)
            for run in (network, fast)
        )
        for ours, eager in zip(got, wanted, strict=True):
            torch.testing.assert_close(ours, eager, rtol=1e-5, atol=1e-5)
        compilations.append(graphs.frame_count)
    assert compilations[0] > 0
    assert len(set(compilations)) == 1


def check_layers_with_a_warm_cache() -> None:
    network = layers()
    coords, features = cloud(80)
    tensor = SparseTensor(features, coords, SHAPE, 2)

    def run(leaf: Tensor) -> Tensor:
        return network(tensor.replace(leaf)).features

    wanted = value_and_gradients(run, network, features)
    for ours, eager in zip(value_and_gradients(compiled(run), network, features), wanted, strict=True):
        assert torch.equal(ours, eager)


def check_layers_that_plan_their_maps_inside_of_the_graph() -> None:
    network = layers()

    def run(leaf: Tensor, coords: Tensor, order: Tensor) -> Tensor:
        return network(SparseTensor.from_sites(leaf, Sites(coords, SHAPE, 2, order))).features

    fast = compiled(run, dynamic=True)
    for rows in (60, 90):
        coords, features = cloud(rows)
        order = so.sites_from_coords(coords, spatial_shape=SHAPE, batch_size=2).order
        wanted, got = (
            value_and_gradients(lambda leaf, f=f, c=coords, o=order: f(leaf, c, o), network, features)
            for f in (run, fast)
        )
        assert all(torch.equal(ours, eager) for ours, eager in zip(got, wanted, strict=True))


@pytest.mark.slow
def test_layers_compile() -> None:
    # In a process of its own: the run-time checks of annotations in this one are no code that can be traced.
    checks = ("check_layers_with_a_warm_cache", "check_layers_that_plan_their_maps_inside_of_the_graph")
    script = f"import runpy; found = runpy.run_path({__file__!r}); [found[name]() for name in {checks}]"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_autocast_to_bfloat16_keeps_float32_sums_on_the_cpu() -> None:
    network = layers()
    network.append(nn.Linear(6, 3))
    coords, features = cloud(80)
    wanted = value_and_gradients(
        lambda f: network(SparseTensor(f, coords, SHAPE, 2)).features, network, features
    )

    def run(leaf: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return network(SparseTensor(leaf, coords, SHAPE, 2)).features.float()

    for ours, exact in zip(value_and_gradients(run, network, features), wanted, strict=True):
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours, exact, rtol=0.05, atol=0.05 * float(exact.abs().max()))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("kernel_size", [1, 3])
def test_autocast_gives_one_type_whatever_the_kernel_and_leaves_float64(kernel_size: int, dtype) -> None:
    coords, features = cloud(40)
    network = SubmanifoldConv3d(4, 8, kernel_size).to(dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = network(SparseTensor(features.to(dtype), coords, SHAPE, 2)).features
    assert out.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)


def test_half_precision_features_run_forward_and_backward() -> None:
    network = layers().to(torch.bfloat16)
    coords, features = cloud(80)
    grads = value_and_gradients(
        lambda f: network(SparseTensor(f, coords, SHAPE, 2)).features, network, features.bfloat16()
    )
    assert all(grad.dtype == torch.bfloat16 and grad.isfinite().all() for grad in grads)
