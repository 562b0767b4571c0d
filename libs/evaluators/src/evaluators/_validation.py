"""What every protocol refuses in the same words: unknown choices, and states that do not fit."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal, TypeAlias, TypeVar, get_args

from evaluators.state import State

_T = TypeVar("_T")

OnInvalid: TypeAlias = Literal["error", "drop"]
"""A row with a bad number: refuse it, or drop it and count it in the report."""

Missing: TypeAlias = Literal["error", "empty"]
"""A frame without predictions: refuse it, or take it as a frame in which nothing was found."""


def require_choice(value: str, choices: object, *, name: str) -> None:
    """Raise ValueError unless `value` is one of the literals of the alias `choices`."""
    known = get_args(choices)
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, known))}, got {value!r}")


def named(value: str | _T, known: Mapping[str, _T], *, name: str, kind: str) -> _T:
    """Return what has that name, or the value itself if it is no name.

    Raises:
        ValueError: No such name; shows the argument `name`, the known names, and what else it takes (`kind`).
    """
    if not isinstance(value, str):
        return value
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)} or {kind}, got {value!r}")
    return known[value]


def first_names(names: Collection[str], *, limit: int = 5) -> str:
    """Return the first names in sorted order, and how many more there are.

    Example:
        >>> first_names({"c", "a", "b"}, limit=2)
        'a, b and 1 more'
    """
    shown = sorted(names)[:limit]
    rest = len(names) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest else "")


def require_state(state: State, *, owner: str, arrays: Collection[str]) -> None:
    """Refuse a state with other arrays than "settings", one text, and these.

    Args:
        owner: Name of the evaluator's class.

    Raises:
        ValueError: Arrays are missing or unknown.
    """
    lacking, unknown = {"settings", *arrays} - state.keys(), state.keys() - {"settings", *arrays}
    if lacking or unknown:
        raise ValueError(
            f"not what {owner}.state() returned: lacking {first_names(lacking) or 'nothing'}, unknown"
            f" {first_names(unknown) or 'nothing'}"
        )
    settings = state["settings"]
    if settings.ndim != 0 or settings.dtype.kind != "U":
        raise ValueError(f"not what {owner}.state() returned: settings is no text")


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


def require_disjoint(held: Collection[str], added: Collection[str]) -> None:
    """Refuse frames that would be counted twice.

    Raises:
        ValueError: Names the frames that both hold, or one that is listed twice.
    """
    shared = set(held) & set(added)
    if shared:
        raise ValueError(
            f"both evaluators hold {len(shared)} frames: {first_names(shared)};"
            " split the frames so that each is evaluated once"
        )
    if len(set(added)) != len(added):
        raise ValueError("the state lists some frames twice; gather it anew")
