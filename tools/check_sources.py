"""Check format, types, layers and declared dependencies; fail as well if a checker overlooked a file.

Every checker here reports success when its settings match no file. So each is asked how many files it saw,
and that number is compared with the number of files that there are.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from members import ROOT, read_members

TOOLS = Path(sys.executable).parent
# Modules of distributions that the development environment does not hold.
NOT_INSTALLED = {"rerun-sdk": "rerun"}


def check(command: Sequence[str], seen: str, there: int, *, folder: Path = ROOT) -> list[str]:
    """Run a checker, print what it prints, and return what is wrong, if anything.

    Args:
        command: Name of the tool in this environment, and its arguments.
        seen: Pattern whose group is the number of files that the tool says it saw.
        there: How many files it must see at least.
        folder: Where it runs.
    """
    done = subprocess.run([TOOLS / command[0], *command[1:]], cwd=folder, capture_output=True, text=True)
    output = done.stdout + done.stderr
    print(output.strip(), flush=True)
    called = f"{' '.join(command)} (in {folder.relative_to(ROOT)})"
    if done.returncode:
        return [f"{called}: exit status {done.returncode}"]
    found = re.search(seen, output)
    if found is None or int(found[1]) < there:
        return [
            f"{called}: saw {found[1] if found else 'no'} files, expected at least {there}; see its settings"
        ]
    return []


def main() -> int:
    """Run all checkers, whatever the others say; print what is wrong; return the exit status."""
    members = read_members()
    sources = {m.folder: len(list((ROOT / m.folder / "src").rglob("*.py"))) for m in members}
    tracked = subprocess.check_output(["git", "ls-files", "*.py"], cwd=ROOT, text=True).split()
    names = {**NOT_INSTALLED, **{member.distribution: member.package for member in members}}
    mapping = ",".join(f"{distribution}={package}" for distribution, package in names.items())
    wrong = check(["ruff", "format", "--check", "."], r"(\d+) files? already formatted", len(tracked))
    wrong += check(["pyright", "--stats"], r"Found (\d+) source file", sum(sources.values()))
    wrong += check(["lint-imports"], r"Analyzed (\d+) files", sum(sources.values()))
    for folder, count in sources.items():
        command = ["deptry", "src", "--no-ansi", "--package-module-name-map", mapping]
        wrong += check(command, r"Scanning (\d+) file", count, folder=ROOT / folder)
    print("\n".join(wrong) or f"format, types, layers and dependencies are right in {len(members)} members")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
