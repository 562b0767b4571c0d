"""Sites and kernel maps as trees of tensors, for PyTorch: exported programs take maps as arguments.

Caches and layers know sites by identity. So a tree that comes back with its own tensors is the very object.
"""

import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from torch.utils._pytree import SequenceKey, register_pytree_node

from sparseops.containers import assembled, flatten_fields
from sparseops.ops.kernel_map import KernelMap
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
    return assembled(Sites, (coords, context.spatial_shape, context.batch_size, order))


def _flatten_map(plan: KernelMap) -> tuple[list[Any], _MapContext]:
    # The sites of a submanifold map are one object, and stay one.
    sites = [plan.sites_in] if plan.sites_out is plan.sites_in else [plan.sites_in, plan.sites_out]
    return [plan.plan, *sites], _MapContext(plan.window, plan.mirrored, weakref.ref(plan))


def _unflatten_map(children: Iterable[Any], context: _MapContext) -> KernelMap:
    plan, *sites = children
    origin = context.origin()
    if origin is not None and _is_made_of(origin, plan, sites):
        return origin
    return assembled(KernelMap, (sites[0], sites[-1], context.window, plan, context.mirrored))


def _is_made_of(plan: KernelMap, arrays: Any, sites: list[Any]) -> bool:
    ours = (plan.sites_in, plan.sites_out, *flatten_fields(plan.plan)[0])
    theirs = (sites[0], sites[-1], *flatten_fields(arrays)[0])
    return all(new is old for new, old in zip(theirs, ours, strict=True))


def _flatten_tensor(tensor: SparseTensor) -> tuple[list[Any], tuple[Sites, MapCache]]:
    return [tensor.features], (tensor.sites, tensor.cache)


def _unflatten_tensor(children: Iterable[Any], context: tuple[Sites, MapCache]) -> SparseTensor:
    return assembled(SparseTensor, (*children, *context))


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
