"""Pickles of plain data (dictionaries, lists, text, numbers, NumPy arrays and scalars), read inertly.

Nothing a file names is called: names stand for records of how they would have been called. A file is looked
through before it is loaded, so that it costs no more memory than its size allows.
"""

from __future__ import annotations

import math
import pickle
import pickletools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

_NAMES = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
    ("__builtin__", "bytes"),
    *((module, "_reconstruct") for module in ("numpy.core.multiarray", "numpy._core.multiarray")),
    *((module, "scalar") for module in ("numpy.core.multiarray", "numpy._core.multiarray")),
    *((module, "_frombuffer") for module in ("numpy.core.numeric", "numpy._core.numeric")),
}
_ARRAY_OPCODES = frozenset(
    (
        *("PROTO", "FRAME", "STOP", "GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD", "MARK"),
        *("EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "NONE", "NEWTRUE", "NEWFALSE"),
        *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1"),
        *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE"),
        *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
        *("MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT", "GET", "BINGET", "LONG_BINGET"),
    )
)
"""What a pickled array consists of: no lists, sets or dictionaries, no class instances."""
_DATA_OPCODES = _ARRAY_OPCODES | {
    *("EMPTY_LIST", "LIST", "APPEND", "APPENDS", "EMPTY_DICT", "DICT", "SETITEM", "SETITEMS"),
    *("FLOAT", "BINFLOAT"),
}
_MOST_ARRAY_OPCODES = 200
"""A pickled array has some 40."""
_MOST_DIMENSIONS = 4


class Call:
    """What stands for every name in a pickle: keeps how it was called, does nothing."""

    def __init__(self, name: str, arguments: tuple[Any, ...]) -> None:
        self.name, self.arguments, self.state = name, arguments, ()

    def __setstate__(self, state: Any) -> None:
        self.state = state


def load(path: Path, *, progress: bool = False) -> Any:
    """Return the content of a pickle, with a `Call` in place of every array and NumPy scalar (see `plain`).

    Args:
        progress: Show a bar while the file is looked through: some megabytes a second.

    Raises:
        ValueError: The file is damaged, or holds more than plain data; says what.
    """
    size = path.stat().st_size
    with tqdm(
        total=size, desc=path.name, unit="B", unit_scale=True, disable=not progress, leave=False
    ) as bar:
        return _load(path, _DATA_OPCODES, most=size, bar=bar)


def load_array(path: Path) -> np.ndarray:
    """Return the one array of numbers that a pickle holds, built here from its recorded type, shape, bytes.

    Raises:
        ValueError: The file is damaged, or holds anything else; says what.
    """
    found = _load(path, _ARRAY_OPCODES, most=_MOST_ARRAY_OPCODES, bar=None)
    if not isinstance(found, Call):
        raise ValueError(f"it holds no array but a {type(found).__name__}")
    return _built(found)


def plain(value: Any) -> Any:
    """Return a NumPy array as nested lists and a NumPy scalar as a number; anything else as it is.

    Raises:
        ValueError: An array of other than numbers, or one whose bytes do not fit its shape.
    """
    return _built(value).tolist() if isinstance(value, Call) else value


def _load(path: Path, allowed: frozenset[str], *, most: int, bar: tqdm | None) -> Any:
    try:
        with path.open("rb") as handle:
            _check(handle, allowed, most=most, bar=bar)
            handle.seek(0)
            return _Unpickler(handle, encoding="latin1").load()
    except (
        *(ValueError, TypeError, LookupError, EOFError, AttributeError),
        *(MemoryError, OverflowError, pickle.UnpicklingError),
    ) as error:
        raise ValueError(str(error) or type(error).__name__) from None


def _built(value: Call) -> np.ndarray:
    if value.name == "scalar" and len(value.arguments) == 2:
        dtype, content = value.arguments
        shape, column_major = (), False
    elif value.name == "_reconstruct" and isinstance(value.state, tuple) and len(value.state) == 5:
        _, shape, dtype, column_major, content = value.state
    elif value.name == "_frombuffer" and len(value.arguments) == 4:
        content, dtype, shape, order = value.arguments
        column_major = order == "F"
    else:
        raise ValueError(f"it holds an unfinished {value.name.strip('_')}")
    return _array(content, _dtype(dtype), shape, "F" if column_major is True else "C")


class _Unpickler(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str, /) -> Callable[..., Call]:
        if (module_name, global_name) not in _NAMES:
            raise ValueError(f"it names {module_name}.{global_name}, which plain data does not need")
        # A new function each time: whatever a file does to it is forgotten with the file.
        return lambda *arguments: Call(global_name, arguments)


def _check(handle: Any, allowed: frozenset[str], *, most: int, bar: tqdm | None) -> None:
    """Raise for instructions that are not allowed, or too many: they could fill the memory or never end."""
    for count, (opcode, argument, position) in enumerate(pickletools.genops(handle)):
        if bar is not None and count % 100_000 == 0:
            bar.update((position or 0) - bar.n)
        if opcode.name not in allowed:
            raise ValueError(f"its instruction {opcode.name} occurs in no plain data")
        if count > most:
            raise ValueError(f"it has more than the {most} instructions that an array needs at most")
        # The memo is an array as long as its greatest index.
        if "PUT" in opcode.name and isinstance(argument, int) and argument > count:
            raise ValueError("it remembers more than it holds")


def _dtype(call: Any) -> np.dtype:
    kind, order = None, "|"
    if isinstance(call, Call) and call.name == "dtype":
        kind, *_ = (*call.arguments, None)
        _, order, *_ = (*call.state, None, None) if isinstance(call.state, tuple) else (None, None)
    if not isinstance(kind, str) or not re.fullmatch("[fiub][1248]", kind) or order not in ("<", ">", "|"):
        raise ValueError("it holds an array of other than numbers")
    return np.dtype(kind).newbyteorder(order)


def _array(content: Any, dtype: np.dtype, shape: Any, order: Any) -> np.ndarray:
    if isinstance(content, Call) and content.name in ("encode", "bytes"):
        # Old protocols spell bytes as text to be encoded, and no bytes as a call of `bytes`.
        content = content.arguments[0] if content.arguments else b""
    content = content.encode("latin1") if isinstance(content, str) else content
    is_shape = isinstance(shape, tuple) and len(shape) <= _MOST_DIMENSIONS
    if not is_shape or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError("it holds an array without a shape")
    size = math.prod(shape) * dtype.itemsize
    if not isinstance(content, bytes | bytearray) or len(content) != size:
        raise ValueError("it holds an array whose bytes do not fit its shape")
    return np.frombuffer(content, dtype).reshape(shape, order=order)
