"""Registration of operators with PyTorch, and the choice among the back ends that compute them."""

import functools
import importlib
import importlib.util
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import torch

from sparseops._backend import backend_for

P = ParamSpec("P")
R = TypeVar("R")


def operator(
    name: str, *, fake: Callable[..., Any], gradient: bool = True
) -> Callable[[Callable[..., Any]], Any]:
    """Make an operator of a function from tensors to new tensors, for all devices; the schema is read off it.

    Returns the operator in the function's place. It does what `torch.library.custom_op` does, which however
    loads PyTorch's compiler, more than a second, at the first call of any operator. Autocast is off inside:
    what is computed in which type is said by the function itself.

    Args:
        fake: The same function for tensors without values: only types and shapes of its results count.
        gradient: False for values without a derivative: going backward through them is an error then, and not
            a gradient of zero. True: the caller registers the derivative, or the values are integers.
    """

    def register(function: Callable[..., Any]) -> Any:
        tags = torch.Tag.pt2_compliant_tag, torch.Tag.needs_fixed_stride_order
        torch.library.define(name, torch.library.infer_schema(function, mutates_args=()), tags=tags)
        torch.library.impl(name, "CompositeExplicitAutograd", _outside_autocast(function))
        torch.library.register_fake(name, fake)
        if not gradient:
            torch.library.register_autograd(name, _refuse(name))
        namespace, short = name.split("::")
        return getattr(getattr(torch.ops, namespace), short).default

    return register


def dispatched(reference: Callable[P, R]) -> Callable[P, R]:
    """Make a function that computes what a reference does, on the back end of its first argument, a tensor.

    The back ends of an operator are the modules `_reference`, `_cpu` and `_triton` of its folder, with
    functions of equal names. Where a module has no such function, the one of the reference runs.
    """
    package, _, _ = reference.__module__.rpartition(".")
    folder = package.rpartition(".")[2]

    @functools.wraps(reference)
    def run(*arguments: P.args, **keywords: P.kwargs) -> R:
        tensor: Any = arguments[0]
        found = _implementation(package, reference.__name__, backend_for(folder, tensor))
        return (found or reference)(*arguments, **keywords)

    return run


def _outside_autocast(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def run(*arguments: Any) -> Any:
        device = arguments[0].device.type
        if not torch.is_autocast_enabled(device):
            return function(*arguments)
        with torch.autocast(device, enabled=False):
            return function(*arguments)

    return run


@functools.cache
def _implementation(package: str, name: str, backend: str) -> Callable[..., Any] | None:
    # Imported at the first call: a process pays for numba or Triton when it uses them.
    module = f"{package}._{backend}"
    if importlib.util.find_spec(module) is None:
        return None
    return getattr(importlib.import_module(module), name, None)


def _refuse(name: str) -> Callable[..., None]:
    def backward(*_: Any) -> None:
        raise NotImplementedError(
            f"{name} has no derivative (nor have gradients that sparseops computed, a second one); "
            "detach its inputs, or call it under torch.no_grad()"
        )

    return backward
