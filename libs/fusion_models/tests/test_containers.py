"""Every container of tensors of sparseops and of the models, in the hands of PyTorch and of Python.

Dataclasses and NamedTuples that hold tensors are found in the modules, and their examples are made from their
annotations: a new one is tested by being there.
"""

import copy
import importlib
import inspect
import pickle
import pkgutil
import typing
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from types import UnionType

import fusion_models
import jaxtyping
import pytest
import sparseops
import torch
from fusion_models.detection.voxel_backbone import VoxelBackbone, VoxelBackboneConfig, VoxelFeatures
from fusion_models.imagepg.deform_fusion import ImageView
from fusion_models.sparse_beats_dense import (
    DepthBatch,
    DepthOutputs,
    SparseBeatsDense,
    SparseBeatsDenseConfig,
)
from sparseops import KernelMap, MapCache, MapKey, Sites, SparseTensor, sites_from_coords, submanifold_map
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils import _pytree as pytree
from torch.utils.data._utils.pin_memory import pin_memory

NO_RESULTS = {MapCache: "stays with its sparse tensor", MapKey: "names a request, by the identity of sites"}
TYPES = {"Float": torch.float32, "Int": torch.int64, "Int64": torch.int64, "Int32": torch.int32}
TYPES |= {"Bool": torch.bool}


def _sites() -> Sites:
    coords = torch.tensor([[0, 0, 1], [1, 0, 0], [0, 1, 1]], dtype=torch.int32)
    return sites_from_coords(coords, spatial_shape=(2, 3), batch_size=2)


EXAMPLES = {
    Sites: _sites,
    SparseTensor: lambda: SparseTensor.from_sites(torch.rand(3, 2), _sites()),
    KernelMap: lambda: submanifold_map(_sites(), kernel_size=3),
    ImageView: lambda: ImageView(torch.rand(1, 6, 2, 4), 2, 3, torch.rand(1, 3, 4)),
}
"""Containers whose parts have to fit together."""


def _classes():
    """Public dataclasses and NamedTuples: what sparseops exports, and those in modules of fusion_models."""
    found = [getattr(sparseops, name) for name in sparseops.__all__]
    for module in pkgutil.walk_packages(fusion_models.__path__, "fusion_models."):
        path = Path(module.module_finder.path, module.name.rpartition(".")[2]).with_suffix(".py")
        # Others, which import much, are left alone.
        if path.is_file() and ("@dataclass" in path.read_text() or "NamedTuple)" in path.read_text()):
            found += vars(importlib.import_module(module.name)).values()
    kinds = {
        kind for kind in found if inspect.isclass(kind) and kind.__module__.startswith(("spars", "fusion"))
    }
    return sorted((kind for kind in kinds if _names(kind)), key=lambda kind: kind.__qualname__)


def _names(kind):
    """Fields of a dataclass or NamedTuple; none of anything else."""
    return [field.name for field in fields(kind)] if is_dataclass(kind) else getattr(kind, "_fields", [])


def _holds_tensors(hint):
    if inspect.isclass(hint) and not typing.get_args(hint):
        if issubclass(hint, Tensor | jaxtyping.AbstractArray):
            return True
        hints = typing.get_type_hints(hint) if _names(hint) else {}
        return any(_holds_tensors(hints[name]) for name in _names(hint))
    return any(_holds_tensors(part) for part in typing.get_args(hint))


def _example(hint):
    """A value of an annotation: every axis has two entries, every optional part is there."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint in EXAMPLES:
        return EXAMPLES[hint]()
    if origin in (typing.Union, UnionType):
        return _example(arguments[0])
    if origin is typing.Literal:
        return arguments[0]
    if origin is tuple:
        return tuple(_example(part) for part in (arguments[:1] * 2 if ... in arguments else arguments))
    if origin is not None and issubclass(origin, Mapping):
        return {name: _example(arguments[1]) for name in "ab"}
    if origin is not None and issubclass(origin, Sequence):
        return [_example(arguments[0])] * 2
    if issubclass(hint, jaxtyping.AbstractArray):
        shape = [int(axis) if axis.isdigit() else 2 for axis in hint.dim_str.split()]
        return (torch.rand(shape) * 9).to(TYPES[hint.dtype.__name__])
    if hint is Tensor:
        return torch.rand(2)
    if not _names(hint):
        return hint(2)
    hints = typing.get_type_hints(hint)
    return hint(**{name: _example(hints[name]) for name in _names(hint)})


CONTAINERS = [kind for kind in _classes() if kind not in NO_RESULTS and _holds_tensors(kind)]
every_container = pytest.mark.parametrize("kind", CONTAINERS, ids=lambda kind: kind.__name__)


def _tensors(value):
    """All tensors inside, found without the help of PyTorch."""
    if isinstance(value, Tensor):
        return [value]
    if is_dataclass(value):
        value = [getattr(value, name) for name in _names(value) if not isinstance(value, MapCache)]
    if isinstance(value, Mapping):
        value = list(value.values())
    return [tensor for part in value for tensor in _tensors(part)] if isinstance(value, list | tuple) else []


def _sparse(value):
    return [part for part in pytree.tree_leaves(value, is_leaf=_is_sparse) if _is_sparse(part)]


def _is_sparse(part):
    return isinstance(part, SparseTensor)


def _same(got, wanted):
    assert type(got) is type(wanted)
    for ours, theirs in zip(_tensors(got), _tensors(wanted), strict=True):
        assert torch.equal(ours, theirs)


def test_the_containers_are_found():
    names = {kind.__name__ for kind in CONTAINERS}
    assert {"Batch", "Detections", "DetectorOutputs", "DepthBatch", "DepthOutputs", "VoxelFeatures"} <= names
    assert {"SparseTensor", "Sites", "KernelMap", "Voxels", "Neighbours"} <= names


@pytest.mark.slow
@every_container
def test_pytorch_finds_every_tensor(kind):
    value = _example(kind)
    assert _tensors(value)
    # Of a sparse tensor the features count; its sites belong to the shape of the tree.
    coordinates = {id(tensor) for part in _sparse(value) for tensor in _tensors(part.sites)}
    found = {id(leaf) for leaf in pytree.tree_leaves(value) if isinstance(leaf, Tensor)}
    assert found == {id(tensor) for tensor in _tensors(value)} - coordinates


@every_container
def test_a_tree_comes_back_and_may_hold_anything(kind):
    value = _example(kind)
    leaves, spec = pytree.tree_flatten(value)
    back = pytree.tree_unflatten(leaves, spec)
    assert [id(tensor) for tensor in _tensors(back)] == [id(tensor) for tensor in _tensors(value)]
    shape_alone = pytree.tree_unflatten([None] * len(leaves), spec)
    assert type(shape_alone) is type(back) is kind
    _same(pytree.tree_map_only(Tensor, torch.clone, value), value)


@every_container
def test_a_part_is_replaced_as_in_any_dataclass(kind):
    """So `fully_shard` rebuilds what goes into its layers."""
    value = _example(kind)
    if is_dataclass(kind):
        name = _names(kind)[0]
        again = replace(value, **{name: getattr(value, name)})
        assert again is not value and type(again) is kind
        assert [id(tensor) for tensor in _tensors(again)] == [id(tensor) for tensor in _tensors(value)]


@every_container
def test_a_data_loader_pins_every_tensor(kind, monkeypatch):
    pinned = []

    def pin(tensor, device=None):
        pinned.append(tensor.clone())
        return pinned[-1]

    monkeypatch.setattr(Tensor, "pin_memory", pin)
    value = _example(kind)
    got = pin_memory(value)
    _same(got, value)
    assert {id(tensor) for tensor in _tensors(got)} <= {id(tensor) for tensor in pinned}


@every_container
def test_everything_moves_together(kind):
    value = _example(kind)
    if hasattr(value, "to"):
        moved = value.to("meta")
    else:
        moved = pytree.tree_map_only(Tensor, lambda tensor: tensor.to("meta"), value)
    assert type(moved) is kind
    assert {tensor.device.type for tensor in _tensors(moved)} == {"meta"}
    assert {tensor.device.type for tensor in _tensors(value)} == {"cpu"}


@every_container
@pytest.mark.parametrize("keep", [copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_copies_are_equal_and_apart(kind, keep):
    value = _example(kind)
    again = keep(value)
    _same(again, value)
    assert not {t.data_ptr() for t in _tensors(again)} & {t.data_ptr() for t in _tensors(value)}


def test_what_moves_to_the_cpu_is_there_when_it_is_returned(monkeypatch):
    """A copy from a GPU that nobody waits for would hold anything."""
    batch, waits = _example(DepthBatch), {}

    def to(tensor, device, *, non_blocking):
        waits.setdefault(device, set()).add(not non_blocking)
        return tensor

    monkeypatch.setattr(Tensor, "to", to)
    for device in ("cpu", "cuda"):
        batch.to(device)
    assert waits == {"cpu": {True}, "cuda": {False}}


class _Depth(nn.Module):
    """Returns `DepthOutputs`; one layer takes no part."""

    def __init__(self):
        super().__init__()
        self.model = SparseBeatsDense(SparseBeatsDenseConfig(base_width=8)).eval()
        self.unused = nn.Linear(2, 2)

    def forward(self, rank: int) -> DepthOutputs:
        draw = torch.Generator().manual_seed(rank)
        batch = DepthBatch(
            frame_ids=("a",),
            image=torch.rand(1, 3, 24, 40, generator=draw) * 255,
            radar=torch.rand(1, 1, 24, 40, generator=draw) * 30,
            points=torch.rand(1, 5, 3, generator=draw),
            counts=torch.tensor([4]),
        )
        return self.model(batch)


class _Voxels(nn.Module):
    """Returns `VoxelFeatures`; one layer takes no part."""

    def __init__(self):
        super().__init__()
        self.model = VoxelBackbone(
            VoxelBackboneConfig(channels=(8, 8, 8, 8), out_channels=8),
            sparse_shape_zyx=(25, 16, 16),
            point_features=4,
        ).eval()
        self.unused = nn.Linear(2, 2)

    def forward(self, rank: int) -> VoxelFeatures:
        draw = torch.Generator().manual_seed(rank)
        cells = torch.randperm(25 * 256, generator=draw)[:200].sort().values
        columns = [torch.zeros_like(cells), cells // 256, cells // 16 % 16, cells % 16]
        features = torch.rand(200, 4, generator=draw)
        return self.model(SparseTensor(features, torch.stack(columns, 1).int(), (25, 16, 16), 1))


def _backward(outputs):
    """From every tensor that has a gradient."""
    torch.stack([leaf.square().sum() for leaf in _tensors(outputs) if leaf.requires_grad]).sum().backward()


def _step(kind, rank):
    torch.manual_seed(0)
    module = kind()
    _backward(module(rank))
    return {name: weight.grad for name, weight in module.named_parameters() if weight.grad is not None}


def _averaged(rank):
    """Gradients of a second step: `static_graph` learns in the first what it does then."""
    found = {}
    for kind in (_Depth, _Voxels):
        for option in ("static_graph", "find_unused_parameters"):
            torch.manual_seed(0)
            module = kind()
            if option == "static_graph":
                del module.unused
            network = DistributedDataParallel(module, **{option: True})
            for _ in range(2):
                network.zero_grad()
                _backward(network(rank))
            found[kind, option] = {name: weight.grad for name, weight in module.named_parameters()}
    return found


@pytest.mark.slow
def test_two_processes_average_gradients_of_networks_that_return_containers(on_two_ranks):
    for (kind, option), found in on_two_ranks(_averaged).items():
        one, other = _step(kind, 0), _step(kind, 1)
        for name, gradient in one.items():
            mean = (gradient + other[name]) / 2
            torch.testing.assert_close(found[name], mean, msg=f"{kind.__name__} {option} {name}")
