"""The policies that every protocol shares for bad rows and missing frames."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, TypeAlias, get_args

OnInvalid: TypeAlias = Literal["error", "drop"]
"""A row with a bad number: refuse it, or drop it and count it in the report."""

Missing: TypeAlias = Literal["error", "empty"]
"""A frame without predictions: refuse it, or take it as a frame in which nothing was found."""


def require_choice(value: str, choices: object, *, name: str) -> None:
    """Raise ValueError unless `value` is one of the literals of the alias `choices`."""
    known = get_args(choices)
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, known))}, got {value!r}")


def first_names(names: Collection[str], *, limit: int = 5) -> str:
    """Return the first names in sorted order, and how many more there are.

    Example:
        >>> first_names({"c", "a", "b"}, limit=2)
        'a, b and 1 more'
    """
    shown = sorted(names)[:limit]
    rest = len(names) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest else "")
