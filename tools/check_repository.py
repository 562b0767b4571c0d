"""Refuse what must never be tracked: download addresses in the lock, paths of one machine, huge files."""

from __future__ import annotations

import re
import subprocess
import sys

ADDRESS = re.compile(rb"[a-z]+://")
MACHINE_PATH = re.compile(rb"(?<![\w.])/(?:root|home|Users)/\w")
MAX_BYTES = 4 * 1024 * 1024


def git(*arguments: str) -> bytes:
    """Return what git prints."""
    return subprocess.run(["git", *arguments], check=True, capture_output=True).stdout


def findings(name: str) -> list[str]:
    """Return one line for each thing wrong with the tracked file `name`."""
    content = git("show", f":{name}")
    found = []
    if name == "uv.lock" and ADDRESS.search(content):
        found.append(f"{name}: holds a download address; run `make lock`, which sets up the clean filter")
    if len(content) > MAX_BYTES:
        found.append(f"{name}: {len(content)} bytes, the limit is {MAX_BYTES}")
    if b"\0" not in content and (match := MACHINE_PATH.search(content)):
        found.append(f"{name}: holds a path of one machine: {match.group().decode()}...")
    return found


def main() -> int:
    """Check every tracked file; print the findings; return the exit status."""
    names = git("ls-files", "-z").decode().split("\0")
    found = [line for name in names if name for line in findings(name)]
    print("\n".join(found) or f"{len(names) - 1} tracked files: nothing that must not be there")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
