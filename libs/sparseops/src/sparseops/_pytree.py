"""Sites and kernel maps as trees of tensors, for PyTorch: exported programs take maps as arguments.

Caches and layers know sites by identity. So a tree that comes back with its own tensors is the very object.
"""

import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from typing import Any

from torch import Tensor
from torch.utils._pytree import SequenceKey, register_pytree_node

from sparseops.ops.kernel_map import KernelMap
from sparseops.ops.kernel_map._api import NeighbourTable, PairList
from sparseops.ops.kernel_map._window import Window
from sparseops.sites import Sites
from sparseops.tensor import MapCache, SparseTensor


@dataclass(frozen=True)
class _SitesContext:
    spatial_shape: tuple[int, ...]
    batch_size: int
    origin: weakref.ref[Sites] = field(compare=False)


@dataclass(frozen=True)
class _MapContext:
    window: Window
    mirrored: bool
    origin: weakref.ref[KernelMap] = field(compare=False)


def _flatten_sites(sites: Sites) -> tuple[list[Any], _SitesContext]:
    context = _SitesContext(sites.spatial_shape, sites.batch_size, weakref.ref(sites))
    return [sites.coords, sites.order], context


def _unflatten_sites(children: Iterable[Any], context: _SitesContext) -> Sites:
    coords, order = children
    origin = context.origin()
    if origin is not None and coords is origin.coords and order is origin.order:
        return origin
    return Sites(coords, context.spatial_shape, context.batch_size, order)


def _flatten_map(plan: KernelMap) -> tuple[list[Any], _MapContext]:
    # The sites of a submanifold map are one object, and stay one.
    sites = [plan.sites_in] if plan.sites_out is plan.sites_in else [plan.sites_in, plan.sites_out]
    return [plan.plan, *sites], _MapContext(plan.window, plan.mirrored, weakref.ref(plan))


def _unflatten_map(children: Iterable[Any], context: _MapContext) -> KernelMap:
    plan, *sites = children
    origin = context.origin()
    if origin is not None and _is_made_of(origin, plan, sites):
        return origin
    return KernelMap(sites[0], sites[-1], context.window, plan, mirrored=context.mirrored)


def _is_made_of(plan: KernelMap, arrays: Any, sites: list[Any]) -> bool:
    ours = (plan.sites_in, plan.sites_out, *_flatten_fields(plan.plan)[0])
    theirs = (sites[0], sites[-1], *_flatten_fields(arrays)[0])
    return all(new is old for new, old in zip(theirs, ours, strict=True))


def _flatten_tensor(tensor: SparseTensor) -> tuple[list[Any], tuple[Sites, MapCache]]:
    return [tensor.features], (tensor.sites, tensor.cache)


def _unflatten_tensor(children: Iterable[Tensor], context: tuple[Sites, MapCache]) -> SparseTensor:
    # Without checks: PyTorch also puts in what is no tensor, to see the shape of the tree.
    tensor = SparseTensor.__new__(SparseTensor)
    (tensor.features,) = children
    tensor.sites, tensor.cache = context
    return tensor


def _flatten_fields(plan: PairList | NeighbourTable) -> tuple[list[Any], None]:
    return [getattr(plan, part.name) for part in fields(plan)], None


def _register(kind: type, flatten: Callable[[Any], Any], unflatten: Callable[[Any, Any], Any]) -> None:
    def flatten_with_keys(tree: Any) -> tuple[list[Any], Any]:
        children, context = flatten(tree)
        return [(SequenceKey(place), child) for place, child in enumerate(children)], context

    register_pytree_node(
        kind,
        flatten,
        unflatten,
        serialized_type_name=f"sparseops.{kind.__name__}",
        flatten_with_keys_fn=flatten_with_keys,
    )


_register(SparseTensor, _flatten_tensor, _unflatten_tensor)
_register(Sites, _flatten_sites, _unflatten_sites)
_register(KernelMap, _flatten_map, _unflatten_map)
for _plan in (PairList, NeighbourTable):
    _register(_plan, _flatten_fields, lambda children, _, kind=_plan: kind(*children))
