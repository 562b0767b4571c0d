"""What an evaluator has gathered, as plain arrays: to save, to resume, to send to another process."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np

from evaluators._files import read_npz
from evaluators._report import replacing

__all__ = ["Evaluator", "State", "read_state", "write_state"]

State: TypeAlias = Mapping[str, np.ndarray]
"""Arrays of numbers or text by name; never objects, so that nothing has to be unpickled."""


@runtime_checkable
class Evaluator(Protocol):
    """What all evaluators have in common beside `update` and `compute`, whose arguments are their own."""

    def reset(self) -> None:
        """Forget everything."""
        ...

    def merge(self, other: Any) -> None:
        """Add what `other` has gathered; it was made with the same settings."""
        ...

    def state(self) -> dict[str, np.ndarray]:
        """Return everything gathered so far."""
        ...

    def merge_state(self, state: State) -> None:
        """Add what the `state()` of an evaluator with the same settings holds."""
        ...


def write_state(path: str | Path, evaluator: Evaluator) -> None:
    """Save what `evaluator` has gathered as a compressed .npz file, complete or not at all."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **evaluator.state())  # pyright: ignore[reportArgumentType] - numpy's stub


def read_state(path: str | Path) -> dict[str, np.ndarray]:
    """Return the arrays of a file that `write_state` wrote, for `evaluator.merge_state`.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is not such an archive, or holds pickled objects.
    """
    return read_npz(path)
