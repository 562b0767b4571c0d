"""Reading files that people made: text, lists of names, and archives of arrays."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np


def decoded(path: str | Path, content: bytes) -> str:
    """Return the content of the file as text, without a byte order mark.

    Raises:
        ValueError: Bytes that are no text; names file and line.
    """
    bad = [content.find(b"\0")] if b"\0" in content else []
    try:
        text = content.decode("utf-8-sig")
        if not bad:
            return text
    except UnicodeDecodeError as error:
        bad.append(error.start)
    at = min(bad)
    line = content.count(b"\n", 0, at) + 1
    raise ValueError(
        f"{path}, line {line}: expected text, got the byte {content[at]:#04x};"
        " is this the right file? Save it as plain text in UTF-8"
    )


def read_frame_list(path: str | Path) -> list[str]:
    """Return the frame names in a split file, one per line; blank lines are skipped.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not text, or a line holds more than one word; names file and line.
    """
    names: list[str] = []
    for line, content in enumerate(decoded(path, Path(path).read_bytes()).split("\n"), start=1):
        words = content.split()
        if len(words) > 1:
            raise ValueError(
                f"{path}, line {line}: expected one frame name, got {len(words)} words;"
                " keep the name of the file without its suffix"
            )
        names += words
    return names


def read_npz(path: str | Path) -> dict[str, np.ndarray]:
    """Return the arrays of an .npz file by name; nothing is unpickled.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no such archive, damaged, or holds something else than plain arrays.
    """
    content = Path(path).read_bytes()
    # Anything else NumPy takes for a pickle, and then advises to load it unsafely.
    if not content.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        raise ValueError(f"{path} cannot be read as .npz (it is no zip archive); write it anew")
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            return {name: np.asarray(archive[name]) for name in archive.files}
    # What a damaged archive makes zipfile, zlib and NumPy raise is not documented and differs by the damage.
    except Exception as error:
        raise ValueError(f"{path} cannot be read as .npz ({error}); write it anew") from None
