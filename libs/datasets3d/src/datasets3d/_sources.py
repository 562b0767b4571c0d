"""What derived files were made from: hashes of the sources' content, compared when the derived are used.

Targets and pasted objects go by frame and row of a label file; after an edit they belong to other objects.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from geom3d.text import decode

_CHUNK = 1 << 20


def digests(root: Path, paths: Iterable[Path]) -> dict[str, str]:
    """Return the hash of every file by its path below the root; files that are not there have an empty one.

    Of text files (`.txt`) the words of every line count, not how an editor saved them.
    """
    return {path.relative_to(root).as_posix(): _digest(path) for path in paths}


def changed(root: Path, recorded: Mapping[str, str]) -> list[str]:
    """Return the paths whose content is no longer as recorded; none if nothing of it is below the root.

    Example:
        >>> changed(Path("nowhere"), {"training/label_2/000000.txt": "12ab"})
        []
    """
    now = digests(root, (root / name for name in recorded))
    if not any(now.values()):
        return []
    return [name for name, digest in recorded.items() if now[name] != digest]


def refuse_changed(made: Path, root: Path, recorded: Mapping[str, str], *, cure: str) -> None:
    """Raise if what something was made from has changed since.

    Raises:
        ValueError: Naming what was made, the first file that changed, and the cure.
    """
    found = changed(root, recorded)
    if found:
        more = f" and {len(found) - 1} more files" if len(found) > 1 else ""
        raise ValueError(
            f"datasets3d: {made} was made from other data: {root / found[0]}{more} changed since; {cure}"
        )


def _digest(path: Path) -> str:
    if not path.is_file():
        return ""
    found = hashlib.blake2b(digest_size=16)
    if path.suffix == ".txt":
        lines = (" ".join(line.split()) for line in decode(path, path.read_bytes()).split("\n"))
        found.update("\n".join(line for line in lines if line).encode())
        return found.hexdigest()
    with path.open("rb") as handle:
        while chunk := handle.read(_CHUNK):
            found.update(chunk)
    return found.hexdigest()
