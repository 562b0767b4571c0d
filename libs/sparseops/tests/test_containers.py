"""What PyTorch and Python do with the containers that sparseops returns: find, copy, keep, release."""

import copy
import gc
import io
import pickle
import weakref
from functools import partial

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from sparseops import (
    KernelMap,
    SparseTensor,
    prune,
    sparse_conv,
    strided_map,
    submanifold_map,
    transposed_map,
    union_add,
)
from sparseops.nn import InverseConv3d, SparseConv3d, SparseSequential, SubmanifoldConv3d, TransposedConv3d
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils import _pytree as pytree

SHAPE = (6, 6, 6)


def some_tensor(rank: int = 0) -> SparseTensor:
    draw = torch.Generator().manual_seed(rank)
    cells = torch.randperm(216, generator=draw)[:40].sort().values
    coords = torch.stack([torch.zeros_like(cells), cells // 36, cells // 6 % 6, cells % 6], dim=1).int()
    return SparseTensor(torch.rand(40, 2, generator=draw), coords, SHAPE, 1)


def some_network() -> SparseSequential:
    return SparseSequential(
        SubmanifoldConv3d(2, 4, 3), nn.ReLU(), SparseConv3d(4, 4, 2, stride=2, key="down"),
        InverseConv3d(4, 3, 2, of="down"),
    )  # fmt: skip


def test_a_sparse_tensor_is_a_tree_with_its_features_as_leaf():
    tensor = some_tensor()
    leaves, spec = pytree.tree_flatten({"out": tensor})
    assert len(leaves) == 1 and leaves[0] is tensor.features
    back = pytree.tree_unflatten([leaves[0] * 2], spec)["out"]
    assert torch.equal(back.features, tensor.features * 2) and back.sites is tensor.sites
    assert back.cache is tensor.cache


@pytest.mark.parametrize("plan", [submanifold_map, partial(strided_map, stride=3)])
def test_a_kernel_map_is_a_tree_and_stays_itself_until_a_tensor_changes(plan):
    kernel_map = plan(some_tensor().sites, kernel_size=3)
    again = pytree.tree_map(lambda leaf: leaf, {"plans": [kernel_map]})["plans"][0]
    assert again is kernel_map
    other = pytree.tree_map(torch.clone, kernel_map)
    assert (other.sites_out is other.sites_in) == (kernel_map.sites_out is kernel_map.sites_in)
    rows, weight = torch.rand(40, 2), torch.rand(3, 3, 3, 2, 4)
    assert torch.equal(
        sparse_conv(rows, weight, kernel_map=other), sparse_conv(rows, weight, kernel_map=kernel_map)
    )


@pytest.mark.parametrize("plan", [submanifold_map, partial(strided_map, stride=3)])
def test_a_map_moves_with_its_sites_and_stays_itself_at_home(plan):
    kernel_map = plan(some_tensor().sites, kernel_size=3)
    assert kernel_map.to("cpu") is kernel_map
    far = kernel_map.to("meta")
    assert {leaf.device.type for leaf in pytree.tree_leaves(far)} == {"meta"}
    assert (far.sites_out is far.sites_in) == (kernel_map.sites_out is kernel_map.sites_in)


class _Convolution(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(3, 3, 3, 2, 4))

    def forward(self, rows: torch.Tensor, kernel_map: KernelMap) -> torch.Tensor:
        return sparse_conv(rows, self.weight, kernel_map=kernel_map)


@pytest.mark.usefixtures("no_shape_checks")
def test_an_exported_network_takes_the_maps_of_other_clouds():
    network = _Convolution()
    plans = [submanifold_map(some_tensor(seed).sites, kernel_size=3) for seed in (0, 1)]
    rows = {0: torch.export.Dim.DYNAMIC}
    # Up to 256 rows make one tile, the axis of the segments.
    shapes = (rows, [[rows, rows, None], [rows, rows]])
    exported = torch.export.export(network, (torch.rand(40, 2), plans[0]), dynamic_shapes=shapes).module()
    for plan in plans:
        features = torch.rand(40, 2)
        assert torch.equal(exported(features, plan), network(features, plan))


@pytest.mark.parametrize("keep", [copy.deepcopy, lambda tensor: pickle.loads(pickle.dumps(tensor))])
def test_a_copy_leaves_the_maps_behind_and_computes_the_same(keep):
    torch.manual_seed(0)
    network, tensor = some_network(), some_tensor()
    out = network(tensor)
    assert tensor.cache.maps and tensor.cache.named
    again = keep(tensor)
    assert not again.cache.maps and not again.cache.named
    assert torch.equal(network(again).features, out.features)
    assert torch.equal(again.coords, tensor.coords)


def test_a_file_does_not_grow_with_what_was_computed():
    def size(tensor: SparseTensor) -> int:
        stream = io.BytesIO()
        torch.save(tensor, stream)
        return len(stream.getvalue())

    tensor = some_tensor()
    before = size(tensor)
    some_network()(tensor)
    assert size(tensor) == before


def test_a_map_survives_being_pickled_with_its_transposed():
    tensor = some_tensor()
    some_network()(tensor).features.sum().backward()
    for kernel_map in tensor.cache.maps.values():
        pairs = kernel_map.transposed.pairs_in
        again = pickle.loads(pickle.dumps(kernel_map))
        assert torch.equal(again.transposed.pairs_in, pairs)


def test_no_circle_keeps_maps_alive():
    collecting = gc.isenabled()
    gc.disable()
    try:
        gone = []
        network = some_network()
        for _ in range(3):
            tensor = some_tensor()
            network(tensor).features.sum().backward()
            maps = [*tensor.cache.maps.values()]
            gone += [weakref.ref(kernel_map) for kernel_map in maps]
            gone += [weakref.ref(kernel_map.transposed) for kernel_map in maps]
            del tensor, maps
        assert len(gone) == 12 and not any(reference() for reference in gone)
    finally:
        if collecting:
            gc.enable()


def live_maps_and_bytes() -> tuple[int, int]:
    """What is alive although the cycle collector is off."""
    found = gc.get_objects()
    # By type: isinstance would ask proxies for their class, and wake them.
    maps = sum(type(item) is KernelMap for item in found)
    return maps, sum(item.nbytes for item in found if type(item) in (torch.Tensor, nn.Parameter))


def steps_on_a_kept_tensor(kept: SparseTensor) -> None:
    """Every way to choose sites anew from a tensor that stays: a data set in memory, say."""
    down, conv = SparseConv3d(2, 2, 2, stride=2, key="down"), SubmanifoldConv3d(2, 2, 3)
    up, back = TransposedConv3d(2, 2, 2, stride=2), InverseConv3d(2, 2, 2, of="down")
    for step in range(20):
        fewer = prune(kept, torch.rand(len(kept.features)) < 0.7)
        low = down(conv(fewer))
        total = union_add(kept, fewer)
        outs = back(low), up(low, kept), up(low, kept.sites), up(down(kept), fewer), conv(total)
        loss = sum(out.features.sum() for out in (*outs, up(down(kept), kept)))
        loss.backward()
        if step == 1:
            after_two = live_maps_and_bytes()
    maps, size = live_maps_and_bytes()
    assert maps <= after_two[0] and size <= after_two[1]


@pytest.mark.slow
def test_a_kept_tensor_collects_no_maps():
    kept = some_tensor()
    collecting = gc.isenabled()
    gc.disable()
    try:
        steps_on_a_kept_tensor(kept)
        assert len(kept.cache.maps) == 2  # down, and up to itself
        assert [len(named) for named in kept.cache.named.values()] == [1]
    finally:
        if collecting:
            gc.enable()


@pytest.mark.slow
def test_memory_is_flat_over_200_steps_without_the_collector():
    collecting = gc.isenabled()
    gc.disable()
    try:
        network = some_network()
        optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
        seen = []
        for step in range(200):
            optimizer.zero_grad()
            network(some_tensor(step % 5)).features.square().sum().backward()
            optimizer.step()
            if step % 5 == 4:
                seen.append(live_maps_and_bytes())
        assert len(set(seen[1:])) == 1
    finally:
        if collecting:
            gc.enable()


@pytest.mark.slow
def test_a_transposed_map_keeps_the_map_that_its_gradient_runs_along():
    upsampling = transposed_map(some_tensor().sites, kernel_size=2, stride=2)
    gc.collect()
    assert upsampling.transposed is upsampling.transposed
    assert upsampling.transposed.transposed is upsampling


class _Returning(nn.Module):
    """Returns the sparse tensor itself; one layer takes no part."""

    def __init__(self, *, unused: bool) -> None:
        super().__init__()
        self.layers = some_network()
        if unused:
            self.unused = nn.Linear(2, 2)

    def forward(self, features: torch.Tensor, rank: int) -> SparseTensor:
        return self.layers(some_tensor(rank).replace(features))


def _train(rank: int, folder: str, option: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    torch.manual_seed(0)
    network = DistributedDataParallel(_Returning(unused=option == "find_unused_parameters"), **{option: True})
    for _ in range(2):
        network.zero_grad()
        network(some_tensor(rank).features, rank).features.square().sum().backward()
    torch.save({n: p.grad for n, p in network.module.named_parameters()}, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize("option", ["static_graph", "find_unused_parameters"])
def test_two_processes_average_gradients_of_a_network_that_returns_a_sparse_tensor(tmp_path, option):
    mp.spawn(_train, (str(tmp_path), option), nprocs=2)
    torch.manual_seed(0)
    network = _Returning(unused=option == "find_unused_parameters")
    for rank in range(2):
        (network(some_tensor(rank).features, rank).features.square().sum() / 2).backward()
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt")
        for name, parameter in network.named_parameters():
            if parameter.grad is not None:
                torch.testing.assert_close(found[name], parameter.grad)
