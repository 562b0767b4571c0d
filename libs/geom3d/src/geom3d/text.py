"""Text that people made, as editors and shells of all systems save it. One decoder for every reader."""

from __future__ import annotations

import codecs
from pathlib import Path

_MARKS = (
    # UTF-32 first: its little-endian mark starts with that of UTF-16.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)


def read_text(path: str | Path) -> str:
    """Return a file's text, see `decode`.

    Raises:
        FileNotFoundError: No such file.
        ValueError: It is no text; names file, line and byte.
    """
    return decode(path, Path(path).read_bytes())


def decode(path: str | Path, content: bytes) -> str:
    r"""Return the content of a file as text with `\n` at the ends of lines, without a byte order mark.

    UTF-8, or UTF-16 and UTF-32 with their mark.

    Args:
        path: What errors name.
        content: All bytes of the file.

    Raises:
        ValueError: Bytes that are no text; names file and line.

    Example:
        >>> decode("a.txt", "one\r\ntwo".encode("utf-16"))
        'one\ntwo'
    """
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8")
    zero = content.find(b"\0") if encoding.startswith("utf-8") else -1
    try:
        at = zero
        text = content.decode(encoding)
        if zero < 0:
            return text.replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        at = error.start if zero < 0 else min(zero, error.start)
    line = content.count(b"\n", 0, at) + 1
    raise ValueError(
        f"{path}, line {line}: expected text, got the byte {content[at]:#04x};"
        " is this the right file? Save it as plain text in UTF-8"
    )
