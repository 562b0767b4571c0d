"""Dataclasses of tensors that PyTorch looks into, and that move as a whole."""

from collections.abc import Callable, Iterable
from dataclasses import fields
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils._pytree import GetAttrKey, register_pytree_node, tree_map

Container = TypeVar("Container", bound="TensorFields")
Kind = TypeVar("Kind")


class TensorFields:
    """Base of frozen dataclasses whose fields hold tensors: what a network takes or returns.

    A field may also be a sparse tensor, another such dataclass, or a tuple, list, dict or NamedTuple of them.
    PyTorch finds the tensors as the leaves of a pytree. So a network may take and return the dataclass under
    DistributedDataParallel (`static_graph` included), `fully_shard`, checkpointing and export, and
    `torch.utils._pytree.tree_map` reaches all of them. `DataLoader(pin_memory=True)` pins them.

    A tree that is put together again skips `__post_init__`: PyTorch also puts in what is no tensor. Copies
    and pickles are those of any dataclass.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass(frozen=True, slots=True)
        ... class Scores(TensorFields):
        ...     name: str
        ...     logits: Tensor
        >>> tree_map(lambda leaf: leaf * 2, Scores("ab", torch.ones(2)))
        Scores(name='abab', logits=tensor([2., 2.]))
        >>> Scores("a", torch.ones(2)).to("meta").logits.device
        device(type='meta')
    """

    __slots__ = ()

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        # Twice where a dataclass has slots, which makes the class anew: the last one counts.
        register_pytree_node(
            cls,
            flatten_fields,
            lambda values, _: assembled(cls, values),
            serialized_type_name=f"{cls.__module__.partition('.')[0]}.{cls.__name__}",
            flatten_with_keys_fn=_flatten_with_keys,
        )

    def to(self: Container, device: torch.device | str) -> Container:
        """Return everything on another device. On the way to a GPU the copies do not wait."""
        # Towards the CPU they would have to be waited for before anybody reads them.
        to_tensor = {"device": device, "non_blocking": torch.device(device).type != "cpu"}
        return _moved(
            self, lambda part: part.to(**to_tensor) if isinstance(part, Tensor) else part.to(device)
        )

    def pin_memory(self: Container) -> Container:
        """Return everything in page-locked memory, from where copies to a GPU do not wait."""
        return _moved(self, lambda part: part.pin_memory())


def flatten_fields(container: Any) -> tuple[list[Any], None]:
    """Return the values of the fields of a dataclass, and no context, as a pytree wants it."""
    return [getattr(container, field.name) for field in fields(container)], None


def assembled(kind: type[Kind], values: Iterable[Any]) -> Kind:
    """Return a dataclass of these values of its fields, which nobody checks."""
    container = object.__new__(kind)
    for field, value in zip(fields(kind), values, strict=True):  # pyright: ignore[reportArgumentType] a dataclass
        object.__setattr__(container, field.name, value)
    return container


def _flatten_with_keys(container: Any) -> tuple[list[Any], None]:
    return [(GetAttrKey(field.name), getattr(container, field.name)) for field in fields(container)], None


def _moved(container: Any, move: Callable[[Any], Any]) -> Any:
    """Move what can move itself: the leaf of a sparse tensor, its features, would leave the sites behind."""

    def moves(part: Any) -> bool:
        return part is not container and hasattr(part, "pin_memory")

    return tree_map(lambda part: move(part) if moves(part) else part, container, is_leaf=moves)
