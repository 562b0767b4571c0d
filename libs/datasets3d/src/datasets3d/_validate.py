"""Checks shared by the public borders."""

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np
from numpy.typing import DTypeLike


def check_array(name: str, value: object, dtype: DTypeLike, shape: tuple[int | None, ...]) -> None:
    """Raise unless `value` is an array of this dtype and shape (None: any length).

    Example:
        >>> check_array("points", np.zeros((3, 4), np.float32), np.float32, (None, 4))
    """
    wanted = np.dtype(dtype)
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{name}: expected a numpy array of {wanted}, got {type(value).__name__}")
    if value.dtype != wanted:
        raise TypeError(
            f"{name}: expected {wanted}, got {value.dtype}; convert with .astype(np.{wanted.name})"
        )
    fits = value.ndim == len(shape) and all(
        w is None or w == s for w, s in zip(shape, value.shape, strict=True)
    )
    if not fits:
        pretty = "(" + ", ".join("any" if w is None else str(w) for w in shape) + ")"
        raise ValueError(f"{name}: expected shape {pretty}, got {value.shape}")


def check_positive(config: object, *names: str) -> None:
    """Raise a ValueError unless these fields of a configuration are above 0."""
    _check_fields(config, names, lambda value: value > 0, "be positive")


def check_least(config: object, least: float | int, *names: str) -> None:
    """Raise a ValueError unless these fields of a configuration are at least so much."""
    _check_fields(config, names, lambda value: value >= least, f"be at least {least}")


def check_within(config: object, bounds: tuple[float | int, float | int], *names: str) -> None:
    """Raise a ValueError unless these fields of a configuration lie within bounds, both included.

    Example:
        >>> from types import SimpleNamespace
        >>> check_within(SimpleNamespace(share=0.5), (0, 1), "share")
    """
    low, high = bounds
    _check_fields(config, names, lambda value: low <= value <= high, f"lie in {low}..{high}")


def _check_fields(config: object, names: Sequence[str], fits: Callable[[Any], bool], wanted: str) -> None:
    for name in names:
        value = getattr(config, name)
        if not fits(value):
            raise ValueError(f"{type(config).__name__}.{name} must {wanted}, got {value}")


def check_class_names(names: tuple[str, ...], *, known: tuple[str, ...]) -> None:
    """Raise if a class name is none of the known ones.

    Raises:
        ValueError: Naming the nearest known class.

    Example:
        >>> check_class_names(("Car", "Cyclist"), known=("Car", "Pedestrian", "Cyclist"))
    """
    for name in names:
        if name not in known:
            raise ValueError(f"unknown class {name!r}; {nearest_names(name, list(known))}")


def nearest_names(name: str, known: list[str]) -> str:
    """Return the tail of an error about an unknown name: the nearest ones, and all of them.

    Example:
        >>> nearest_names("car", ["Car", "Van"])
        "did you mean 'Car'? known: Car, Van"
    """
    lowered = {k.lower(): k for k in known}
    close = [lowered[c] for c in get_close_matches(name.lower(), list(lowered), n=1, cutoff=0.5)]
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}known: {', '.join(known)}"
