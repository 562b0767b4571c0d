"""Activation checkpointing that leaves batch norm statistics alone (Chen et al., arXiv 1604.06174)."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TypeVar

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

Result = TypeVar("Result")


def recompute(function: Callable[..., Result], *inputs: object, module: nn.Module) -> Result:
    """Return `function(*inputs)`, whose activations are computed again in the backward pass.

    Only the inputs are kept until then. Results and gradients are those of a plain call: random numbers
    (dropout) and autocast repeat, and the buffers of `module` (running statistics) are written once.

    Args:
        function: Must not change its inputs in place.
        module: Owns every buffer that `function` writes to.

    Example:
        >>> layer = nn.BatchNorm1d(2)
        >>> recompute(layer, torch.tensor([[1.0, 2.0], [3.0, 5.0]]), module=layer).sum().backward()
        >>> layer.num_batches_tracked.item()
        1
    """
    if not torch.is_grad_enabled():
        return function(*inputs)
    return checkpoint(
        function,
        *inputs,
        use_reentrant=False,
        context_fn=lambda: (nullcontext(), _on_copies_of_buffers(module)),
    )


@contextmanager
def _on_copies_of_buffers(module: nn.Module) -> Iterator[None]:
    """Give the module copies of its buffers to write to, and the originals back at the end."""
    buffers = [
        (owner, name, value)
        for owner in module.modules()
        for name, value in owner.named_buffers(recurse=False)
    ]
    for owner, name, value in buffers:
        setattr(owner, name, value.clone())
    try:
        yield
    finally:
        for owner, name, value in buffers:
            setattr(owner, name, value)
