"""What the workspace consists of, read from the pyproject.toml of each member.

    python tools/members.py paths geom3d evaluators    the folders of these and of all they need
    python tools/members.py changed origin/main        the folders whose tests a change since then can reach

A member is a folder in `libs/` or `apps/`. It is called by the name of that folder.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
# Tests of the workspace itself, which are quick; they also read what lies in no member's folder.
ROOT_TESTS = "tests"
# What only the root's tests read. A change of anything else outside the members can reach all of them.
READ_BY_ROOT_TESTS = ("tests/", "tools/", ".ci/", ".github/", "Makefile", "README.md", "CONTRIBUTING.md")


@dataclass(frozen=True)
class Member:
    """A library or an app."""

    folder: str
    """Path from the root with forward slashes: `libs/geom3d`."""
    package: str
    """What is imported."""
    project: Mapping[str, Any]
    """The table `project` of its pyproject.toml."""

    @property
    def name(self) -> str:
        """Name of the folder: `geom3d`."""
        return self.folder.split("/")[1]

    @property
    def distribution(self) -> str:
        """What is installed: `fusion3d-geom3d`."""
        return self.project["name"]

    @property
    def requirements(self) -> list[str]:
        """Requirements as written, those of the extras among them."""
        extras = self.project.get("optional-dependencies", {}).values()
        return [*self.project.get("dependencies", []), *(line for extra in extras for line in extra)]


def distribution_of(requirement: str) -> str:
    """Return the normal form of the name that a requirement starts with.

    Example:
        >>> distribution_of("Fusion3d_datasets3d[synth]>=0.1")
        'fusion3d-datasets3d'
    """
    found = re.match(r"[A-Za-z0-9._-]*[A-Za-z0-9]", requirement.strip())
    if found is None:
        raise ValueError(f"requirement {requirement!r} does not start with the name of a distribution")
    return re.sub(r"[-_.]+", "-", found.group()).lower()


def read_members(root: Path = ROOT) -> list[Member]:
    """Return all members below `root`, sorted by folder.

    Raises:
        ValueError: A member does not hold exactly one package in its folder `src`.
    """
    found = []
    for manifest in sorted([*root.glob("libs/*/pyproject.toml"), *root.glob("apps/*/pyproject.toml")]):
        folder = manifest.parent
        packages = [path.parent.name for path in folder.glob("src/*/__init__.py")]
        if len(packages) != 1:
            raise ValueError(f"{folder}/src holds packages {packages}, expected exactly one")
        project = tomllib.loads(manifest.read_text())["project"]
        found.append(Member(folder.relative_to(root).as_posix(), packages[0], project))
    return found


def with_needs(members: Iterable[Member], names: Iterable[str]) -> list[Member]:
    """Return the members called `names` and every member that they need, directly or not, extras included."""
    by_distribution = {member.distribution: member for member in members}
    by_name = {member.name: member for member in by_distribution.values()}
    waiting, found = list(names), set()
    while waiting:
        name = waiting.pop()
        if name not in by_name:
            raise ValueError(f"no member is called {name!r}; there are {', '.join(sorted(by_name))}")
        if name in found:
            continue
        found.add(name)
        needed = map(distribution_of, by_name[name].requirements)
        waiting += [
            by_distribution[distribution].name for distribution in needed if distribution in by_distribution
        ]
    return [member for member in by_name.values() if member.name in found]


def reached(members: Iterable[Member], changed: Iterable[str]) -> list[str]:
    """Return the folders whose tests a change of the files `changed` can reach.

    A file of a member reaches the member and all that need it; a file outside of them reaches all, unless
    only the root's own tests read it. Paths are relative to the root.
    """
    members, changed = list(members), list(changed)
    touched = {m.name for m in members if any(path.startswith(f"{m.folder}/") for path in changed)}
    inside = tuple(f"{member.folder}/" for member in members)
    if any(not path.startswith(inside + READ_BY_ROOT_TESTS) for path in changed):
        touched = {member.name for member in members}
    folders = [
        member.folder
        for member in members
        if touched & {needed.name for needed in with_needs(members, [member.name])}
    ]
    return [*folders, ROOT_TESTS] if changed else []


def changed_files(base: str, root: Path = ROOT) -> list[str]:
    """Return what changed since `base` and HEAD parted, new files included that git does not ignore."""
    # Without the search for renames, a moved file is named where it was, too.
    since = ["git", "diff", "--name-only", "--no-renames", "--merge-base", base]
    new = ["git", "ls-files", "--others", "--exclude-standard"]
    outputs = [
        subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout
        for command in (since, new)
    ]
    return sorted({line for output in outputs for line in output.splitlines()})


def main() -> None:
    """Print one folder a line."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = options.add_subparsers(dest="command", required=True)
    commands.add_parser("paths").add_argument("names", nargs="+")
    commands.add_parser("changed").add_argument("base")
    chosen = options.parse_args()
    if chosen.command == "paths":
        print("\n".join(f"./{member.folder}" for member in with_needs(read_members(), chosen.names)))
    else:
        print("\n".join(reached(read_members(), changed_files(chosen.base))))


if __name__ == "__main__":
    main()
