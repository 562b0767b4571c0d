"""JSON files that are one list of records, a record at a time: tables reach a gigabyte."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

from tqdm import tqdm

from datasets3d import _atomic

_CHUNK = 1 << 20
"""Characters read at a time; a record that is longer than this and one more of them is refused."""
_DECODE = json.JSONDecoder().raw_decode
_SPACE = re.compile(r"\s*")


def read_records(path: Path, *, progress: bool = False) -> Iterator[dict[str, Any]]:
    """Yield the objects of a JSON list in file order; some megabytes of the file are in memory at a time.

    Args:
        progress: Show a bar, for files that take seconds.

    Raises:
        ValueError: Not a JSON list of objects; names the file.
    """
    size = path.stat().st_size
    bar = tqdm(total=size, desc=path.name, unit="B", unit_scale=True, disable=not progress, leave=False)
    with path.open(encoding="utf-8-sig") as handle, bar:
        try:
            yield from _Scanner(handle, bar).records()
        except (ValueError, RecursionError) as error:
            raise ValueError(
                f"datasets3d.nuscenes: {path} is no JSON list of records ({error}); unpack or write it anew"
            ) from None


def write_records(path: Path, records: Iterable[dict[str, Any]]) -> None:
    """Write a JSON list, one object a line, atomically; NaN is refused."""
    with _atomic.atomic_output(path) as handle:
        separator = b"[\n"
        for record in records:
            handle.write(separator + json.dumps(record, allow_nan=False).encode())
            separator = b",\n"
        handle.write(b"\n]\n" if separator == b",\n" else b"[]\n")


class _Scanner:
    """Takes a JSON list apart, with a window of text that moves through the file."""

    def __init__(self, handle: TextIO, bar: tqdm) -> None:
        self._handle, self._bar = handle, bar
        self._text, self._at = "", 0

    def records(self) -> Iterator[dict[str, Any]]:
        self._take("[")
        if self._next() == "]":
            self._take("]")
        else:
            yield self._record()
            while self._take(",]") == ",":
                yield self._record()
        if self._next():
            raise ValueError(f"there is more after its end: {self._shown()}")

    def _next(self) -> str:
        """Return the next character that is no space; none at the end of the file."""
        while True:
            self._at = _SPACE.match(self._text, self._at).end()  # type: ignore[union-attr] - matches always
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._read_on():
                return ""

    def _take(self, wanted: str) -> str:
        found = self._next()
        if not found or found not in wanted:
            raise ValueError(f"expected {' or '.join(wanted)}, got {self._shown()}")
        self._at += 1
        return found

    def _record(self) -> dict[str, Any]:
        if self._next() != "{":
            raise ValueError(f"expected a record in braces, got {self._shown()}")
        while True:
            try:
                record, self._at = _DECODE(self._text, self._at)
                return record
            except ValueError:
                # Wrong, or only cut by the end of the window: more text tells.
                if len(self._text) - self._at > _CHUNK or not self._read_on():
                    raise ValueError(f"damaged record {self._shown()}") from None

    def _read_on(self) -> bool:
        more = self._handle.read(_CHUNK)
        self._text, self._at = self._text[self._at :] + more, 0
        self._bar.update(len(more))
        return bool(more)

    def _shown(self) -> str:
        return (
            repr(self._text[self._at : self._at + 60])
            if self._at < len(self._text)
            else "the end of the file"
        )
