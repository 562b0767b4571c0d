"""What trainings do with networks of sparse layers: shard, compute anew, hook, call with other weights."""

from collections.abc import Callable

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from sparseops import SparseTensor
from sparseops.nn import InverseConv3d, SparseAvgPool3d, SparseConv3d, SparseSequential, SubmanifoldConv3d
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.utils.checkpoint import checkpoint

SHAPE = (6, 6, 6)


def some_tensor(rank: int = 0) -> SparseTensor:
    draw = torch.Generator().manual_seed(rank)
    cells = torch.randperm(216, generator=draw)[:40].sort().values
    coords = torch.stack([torch.zeros_like(cells), cells // 36, cells // 6 % 6, cells % 6], dim=1).int()
    return SparseTensor(torch.rand(40, 2, generator=draw), coords, SHAPE, 1)


def some_network(*, norm: bool = True) -> SparseSequential:
    torch.manual_seed(0)
    return SparseSequential(
        SubmanifoldConv3d(2, 4, 3),
        nn.BatchNorm1d(4) if norm else nn.LayerNorm(4),
        nn.ReLU(),
        SparseSequential(SparseAvgPool3d(2, key="pool"), InverseConv3d(4, 4, 2, of="pool")),
        SparseConv3d(4, 4, 2, stride=2, key="down"),
        InverseConv3d(4, 3, 2, of="down"),
    )


def loss_of(out: SparseTensor) -> Tensor:
    return out.features.square().sum()


def gradients(network: nn.Module) -> dict[str, Tensor]:
    return {name: weight.grad for name, weight in network.named_parameters() if weight.grad is not None}


def plain_gradients(network: nn.Module, x: SparseTensor) -> dict[str, Tensor]:
    features = x.features.detach().requires_grad_()
    loss_of(network(x.replace(features))).backward()
    assert features.grad is not None
    return gradients(network) | {"features": features.grad}


def same(got: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    assert got.keys() == wanted.keys()
    for name, gradient in wanted.items():
        torch.testing.assert_close(got[name], gradient, msg=name)


def _sharded(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    mesh = init_device_mesh("cpu", (2,))
    network = some_network(norm=False)
    for layer in network:
        if any(True for _ in layer.parameters()):
            fully_shard(layer, mesh=mesh)
    fully_shard(network, mesh=mesh)
    assert all(isinstance(weight, DTensor) for weight in network.parameters())
    for _ in range(2):
        network.zero_grad()
        loss_of(network(some_tensor(rank))).backward()
    found = {name: gradient.full_tensor() for name, gradient in gradients(network).items()}
    torch.save(found, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_layers_are_units_that_fully_shard_takes(tmp_path) -> None:
    mp.spawn(_sharded, (str(tmp_path),), nprocs=2)
    network = some_network(norm=False)
    for rank in range(2):
        (loss_of(network(some_tensor(rank))) / 2).backward()
    for rank in range(2):
        same(torch.load(tmp_path / f"{rank}.pt"), gradients(network))


def once(network: nn.Module, x: SparseTensor) -> SparseTensor:
    """The whole network in one piece that takes and returns a sparse tensor."""
    return checkpoint(network, x, use_reentrant=False)


def by_layer(network: nn.Module, x: SparseTensor) -> SparseTensor:
    for layer in network:
        piece = SparseSequential(layer)
        x = checkpoint(piece, x, use_reentrant=False)
    return x


def reentrant(network: nn.Module, x: SparseTensor) -> SparseTensor:
    """That kind looks for tensors alone, among arguments and results."""
    outs = []

    def run(features: Tensor) -> Tensor:
        outs.append(network(x.replace(features)))
        return outs[-1].features

    features = checkpoint(run, x.features, use_reentrant=True)
    return outs[0].replace(features)


@pytest.mark.parametrize("call", [once, by_layer, reentrant])
@pytest.mark.parametrize("training", [True, False])
def test_what_is_computed_anew_gives_the_same_gradients(call: Callable, training: bool) -> None:
    """Norms with the statistics of the batch, average pools and inverse layers inside."""
    network, other = some_network().train(training), some_network().train(training)
    wanted = plain_gradients(network, some_tensor())
    x = some_tensor()
    features = x.features.detach().requires_grad_()
    loss_of(call(other, x.replace(features))).backward()
    assert features.grad is not None
    same(gradients(other) | {"features": features.grad}, wanted)


def test_computing_anew_plans_no_map_twice() -> None:
    network, x = some_network(), some_tensor()
    out = checkpoint(network, x, use_reentrant=False)
    planned = set(map(id, x.cache.maps.values()))
    loss_of(out).backward()
    assert set(map(id, x.cache.maps.values())) == planned
    assert len(planned) == 2  # submanifold, and one for pool and stride


def test_forward_hooks_see_and_replace_sparse_tensors() -> None:
    network, x = some_network(), some_tensor()
    plain = network(x).features
    seen = {}

    def look(layer: nn.Module, inputs: tuple[SparseTensor, ...], out: SparseTensor) -> None:
        seen[type(layer).__name__] = (inputs[0], out)

    def double(layer: nn.Module, inputs: tuple[SparseTensor, ...], out: SparseTensor) -> SparseTensor:
        return out.replace(2 * out.features)

    for layer in (network[0], network[4], network[5]):
        layer.register_forward_hook(look)
    network[5].register_forward_hook(double)
    network[0].register_forward_pre_hook(lambda layer, inputs: (inputs[0].replace(inputs[0].features),))
    torch.testing.assert_close(network(x).features, 2 * plain)
    assert seen.keys() == {"SubmanifoldConv3d", "SparseConv3d", "InverseConv3d"}
    assert all(isinstance(part, SparseTensor) for pair in seen.values() for part in pair)
    assert seen["InverseConv3d"][0].sites is seen["SparseConv3d"][1].sites


def test_hooks_on_features_see_their_gradient() -> None:
    network, x = some_network(), some_tensor()
    seen: list[Tensor] = []

    def keep(layer: nn.Module, inputs: tuple[SparseTensor, ...], out: SparseTensor) -> None:
        out.features.register_hook(seen.append)

    network[4].register_forward_hook(keep)
    loss_of(network(x)).backward()
    assert [gradient.shape[1] for gradient in seen] == [4]


def test_a_functional_call_takes_other_weights_and_has_their_gradients() -> None:
    network, x = some_network(norm=False), some_tensor()
    others = {name: (weight + 0.1).detach().requires_grad_() for name, weight in network.named_parameters()}
    loss_of(torch.func.functional_call(network, others, (x,))).backward()
    assert all(weight.grad is None for weight in network.parameters())
    again = some_network(norm=False)
    again.load_state_dict(others)
    loss_of(again(some_tensor())).backward()
    same({name: weight.grad for name, weight in others.items() if weight.grad is not None}, gradients(again))


def test_a_gradient_of_func_by_weights_is_refused_in_words() -> None:
    network, x = some_network(norm=False), some_tensor()

    def loss(weights: dict[str, Tensor]) -> Tensor:
        return loss_of(torch.func.functional_call(network, weights, (x,)))

    with pytest.raises(RuntimeError, match=r"autograd\.Function with functorch transforms"):
        torch.func.grad(loss)({name: weight.detach() for name, weight in network.named_parameters()})
