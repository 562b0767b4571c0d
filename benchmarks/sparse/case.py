"""A timed case, and numbers by which two libraries' results are compared."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor


@dataclass
class Case:
    """One call to time; `prepare` runs before every call, outside the clock, and gives its arguments."""

    run: Callable[..., Any]
    prepare: Callable[[], tuple[Any, ...]] = tuple
    digest: Callable[[Any], list[float]] = lambda _: []
    """Numbers of the result that agree between libraries to 1e-3; none where answers differ by design."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What else belongs in the record: operations, pairs, rows."""


def rows_digest(features: Tensor, coords_bzyx: Tensor) -> list[float]:
    """Sums of a feature map that do not depend on the order of its rows, and would tell rows swapped."""
    mark = 1 + (coords_bzyx.long() * torch.tensor([7, 5, 3, 11])).sum(1) % 13
    size = features.detach().double().abs()
    return [float(len(features)), float(size.sum()), float((size.sum(1) * mark).sum())]


def agrees(ours: list[float], other: list[float]) -> bool | None:
    """Whether two digests agree; None if one of them is empty."""
    if not ours or not other:
        return None
    if len(ours) != len(other):
        return False
    return all(abs(a - b) <= 1e-3 * max(abs(a), abs(b)) for a, b in zip(ours, other, strict=True))
