"""Properties that are computed once, and stay behind when their object is copied or written to a file."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any, Generic, TypeVar, overload

import torch

T = TypeVar("T")


def to_keep(compute: Callable[..., T], *arguments: Any) -> T:
    """Compute what will be kept: outside of inference mode, whose tensors no later training could use."""
    if torch.compiler.is_compiling() or not torch.is_inference_mode_enabled():
        return compute(*arguments)
    with torch.inference_mode(False):
        return compute(*arguments)


class lazy(Generic[T]):
    """`functools.cached_property` without its lock, which torch.compile cannot trace before Python 3.12."""

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self.compute, self.__doc__ = compute, compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> "lazy[T]": ...
    @overload
    def __get__(self, instance: object, owner: type) -> T: ...
    def __get__(self, instance: object | None, owner: type) -> "T | lazy[T]":
        if instance is None:
            return self
        value = to_keep(self.compute, instance)
        # An entry of the instance hides this attribute, which is no data descriptor.
        instance.__dict__[self.name] = value
        return value


def fields_alone(self: Any) -> dict[str, Any]:
    """Return the fields of a dataclass: its `__getstate__` where what is derived can be made anew."""
    return {item.name: self.__dict__[item.name] for item in fields(self)}
