"""Activation checkpointing that leaves batch norm statistics alone (Chen et al., arXiv 1604.06174)."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import TypeVar

import torch
from torch import Tensor, nn
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
        context_fn=lambda: (nullcontext(), _CopiesOfBuffers(module)),
    )


class _CopiesOfBuffers:
    """Context in which a module writes to copies of its buffers; entered anew for every backward pass."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.buffers: list[tuple[nn.Module, str, Tensor]] = []

    def __enter__(self) -> None:
        self.buffers = [
            (owner, name, value)
            for owner in self.module.modules()
            for name, value in owner.named_buffers(recurse=False)
        ]
        for owner, name, value in self.buffers:
            setattr(owner, name, value.clone())

    def __exit__(self, *_: object) -> None:
        for owner, name, value in self.buffers:
            setattr(owner, name, value)
