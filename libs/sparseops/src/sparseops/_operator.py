"""Registration of operators with PyTorch: schema, dispatch, and nothing that slows down the first call."""

from collections.abc import Callable
from typing import Any

import torch


def operator(name: str) -> Callable[[Callable[..., Any]], Any]:
    """Make an operator of a function from tensors to new tensors, for all devices; the schema is read off it.

    Returns the operator in the function's place. It does what `torch.library.custom_op` does, which however
    loads PyTorch's compiler, more than a second, at the first call of any operator.
    """

    def register(function: Callable[..., Any]) -> Any:
        tags = torch.Tag.pt2_compliant_tag, torch.Tag.needs_fixed_stride_order
        torch.library.define(name, torch.library.infer_schema(function, mutates_args=()), tags=tags)
        torch.library.impl(name, "CompositeExplicitAutograd", function)
        namespace, short = name.split("::")
        return getattr(getattr(torch.ops, namespace), short).default

    return register
