"""What an evaluator has gathered, as plain arrays: to save, to resume, to send to another process."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np

from evaluators._files import read_npz
from evaluators._report import replacing
from evaluators._validation import first_names

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


def require_state(state: State, *, owner: str, settings: str, arrays: Collection[str]) -> None:
    """Refuse a state that an evaluator with these settings cannot have returned.

    Args:
        owner: Name of the evaluator's class.
        settings: What its states hold as "settings".
        arrays: Names of the other arrays.

    Raises:
        ValueError: Arrays are missing or unknown, or the settings differ.
    """
    lacking, unknown = {"settings", *arrays} - state.keys(), state.keys() - {"settings", *arrays}
    if lacking or unknown:
        raise ValueError(
            f"not what {owner}.state() returned: lacking {first_names(lacking) or 'nothing'}, unknown"
            f" {first_names(unknown) or 'nothing'}"
        )
    theirs = state["settings"]
    if theirs.ndim != 0 or theirs.dtype.kind != "U":
        raise ValueError(f"not what {owner}.state() returned: settings is no text")
    require_settings(str(theirs), settings)


def require_settings(theirs: str, ours: str) -> None:
    """Refuse to join what was gathered with other settings.

    Raises:
        ValueError: The settings differ; shows both around the first difference.
    """
    if theirs != ours:
        same = next((at for at, (a, b) in enumerate(zip(theirs, ours, strict=False)) if a != b), len(ours))
        start = max(0, same - 40)
        there, here = (text[start : start + 100] for text in (theirs, ours))
        raise ValueError(f"the other evaluator has other settings: there ...{there}..., here ...{here}...")


def require_disjoint(held: Collection[str], added: Collection[str], *, kind: str) -> None:
    """Refuse frames that would be counted twice.

    Raises:
        ValueError: Names the frames that both hold, or one that is listed twice.
    """
    shared = set(held) & set(added)
    if shared:
        raise ValueError(
            f"both evaluators hold {len(shared)} {kind}: {first_names(shared)};"
            f" split the {kind} so that each is evaluated once"
        )
    if len(set(added)) != len(added):
        raise ValueError(f"the state lists some {kind} twice; gather it anew")
