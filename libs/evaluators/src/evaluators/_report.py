"""What every report shares: JSON values, and files that are either complete or absent."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

JsonValue: TypeAlias = (
    "bool | int | float | str | Sequence[JsonValue] | Mapping[str, JsonValue] | None"  # recursive
)


def finite_json(value: JsonValue) -> JsonValue:
    """Return `value` with NaN and infinities as None, which JSON can carry.

    Example:
        >>> finite_json({"ap": [1.0, float("nan")]})
        {'ap': [1.0, None]}
    """
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite_json(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [finite_json(item) for item in value]
    return value


def fields_json(record: DataclassInstance) -> dict[str, JsonValue]:
    """Return the fields of a dataclass of numbers and arrays by name; arrays become lists."""
    values: dict[str, Any] = {field.name: getattr(record, field.name) for field in fields(record)}
    return {
        name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in values.items()
    }


def write_json(path: str | Path, value: JsonValue) -> None:
    """Write `value` to `path` as JSON; NaN and infinities become null. See `write_text`."""
    write_text(path, json.dumps(finite_json(value), indent=1, allow_nan=False) + "\n")


def write_text(path: str | Path, text: str) -> None:
    """Write `text` to `path`; a reader sees the old file or the whole new one, never a part."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def replacing(path: str | Path) -> Generator[Path, None, None]:
    """Lend a temporary file in the folder of `path`, which takes its place if the block succeeds.

    Raises:
        FileNotFoundError: The folder of `path` does not exist.
    """
    target = Path(path)
    if not target.parent.is_dir():
        raise FileNotFoundError(f"no folder {target.parent} for {target.name}; create it first")
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes files private; a report is an ordinary file.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
