"""Registration of operators with PyTorch: schema, dispatch, and nothing that slows down the first call."""

from collections.abc import Callable
from typing import Any

import torch


def operator(name: str, *, gradient: bool = True) -> Callable[[Callable[..., Any]], Any]:
    """Make an operator of a function from tensors to new tensors, for all devices; the schema is read off it.

    Returns the operator in the function's place. It does what `torch.library.custom_op` does, which however
    loads PyTorch's compiler, more than a second, at the first call of any operator.

    Args:
        gradient: False for values without a derivative: going backward through them is an error then, and not
            a gradient of zero. True: the caller registers the derivative, or the values are integers.
    """

    def register(function: Callable[..., Any]) -> Any:
        tags = torch.Tag.pt2_compliant_tag, torch.Tag.needs_fixed_stride_order
        torch.library.define(name, torch.library.infer_schema(function, mutates_args=()), tags=tags)
        torch.library.impl(name, "CompositeExplicitAutograd", function)
        if not gradient:
            torch.library.register_autograd(name, _refuse(name))
        namespace, short = name.split("::")
        return getattr(getattr(torch.ops, namespace), short).default

    return register


def _refuse(name: str) -> Callable[..., None]:
    def backward(*_: Any) -> None:
        raise NotImplementedError(
            f"{name} has no derivative (nor have gradients that sparseops computed, a second one); "
            "detach its inputs, or call it under torch.no_grad()"
        )

    return backward
