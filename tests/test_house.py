"""Whatever must name every member does: the lists that tools insist on, and the tables that people read."""

import doctest
import importlib.util
import pkgutil
import re
import tomllib
from collections.abc import Callable
from itertools import chain

import pytest
import yaml
from members import ROOT, Member, distribution_of, read_members, with_needs

MEMBERS = read_members()
LIBRARIES = [member for member in MEMBERS if member.folder.startswith("libs/")]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())
WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())


def contracts(kind: str) -> list[dict]:
    """The import contracts of one kind."""
    return [
        contract for contract in SETTINGS["tool"]["importlinter"]["contracts"] if contract["type"] == kind
    ]


def layered_packages() -> set[str]:
    """Packages that have a place among the layers."""
    rows = chain.from_iterable(c["layers"] for c in contracts("layers") if "containers" not in c)
    return {package.strip() for row in rows for package in re.split("[|:]", row)}


def packages_kept_from(forbidden: str) -> set[str]:
    """Packages that a contract keeps from importing `forbidden`."""
    keeping = [contract for contract in contracts("forbidden") if forbidden in contract["forbidden_modules"]]
    return set(chain.from_iterable(contract["source_modules"] for contract in keeping))


def needs_torch(member: Member) -> bool:
    """Whether torch comes along with a member, extras aside."""
    needed = with_needs(MEMBERS, [member.name])
    return any(distribution_of(line) == "torch" for one in needed for line in one.project["dependencies"])


def nightly_libraries() -> set[str]:
    """Libraries that the workflow tests in environments of their own."""
    return set(chain.from_iterable(job["strategy"]["matrix"].get("library", []) for job in matrix_jobs()))


def matrix_jobs() -> list[dict]:
    """Jobs of the workflow that run once for each of several."""
    return [job for job in WORKFLOW["jobs"].values() if "strategy" in job]


def rows_of_the_readme() -> set[str]:
    """Folders that the tables of the README link to."""
    return set(re.findall(r"^\| \[`\w+`\]\((\w+/\w+)\)", (ROOT / "README.md").read_text(), re.MULTILINE))


LISTS: dict[str, tuple[Callable[[], set[str]], set[str]]] = {
    "pyproject.toml, importlinter root_packages": (
        lambda: set(SETTINGS["tool"]["importlinter"]["root_packages"]),
        {member.package for member in MEMBERS},
    ),
    "pyproject.toml, importlinter contract of layers": (
        layered_packages,
        {member.package for member in MEMBERS},
    ),
    "pyproject.toml, importlinter contract against trainers": (
        lambda: packages_kept_from("lightning"),
        {member.package for member in LIBRARIES},
    ),
    "pyproject.toml, importlinter contract against torch": (
        lambda: packages_kept_from("torch"),
        {member.package for member in LIBRARIES if not needs_torch(member)},
    ),
    ".github/workflows/ci.yml, matrix of libraries": (
        nightly_libraries,
        {member.name for member in LIBRARIES},
    ),
    "README.md, tables": (rows_of_the_readme, {member.folder for member in MEMBERS}),
    "docs, pages lib_*.md": (
        lambda: {path.stem.removeprefix("lib_") for path in (ROOT / "docs").glob("lib_*.md")},
        {member.name for member in LIBRARIES},
    ),
}


@pytest.mark.parametrize("place", LISTS)
def test_every_list_names_every_member(place: str) -> None:
    read, expected = LISTS[place]
    assert read() == expected, f"{place}: add what is missing on the left, remove what is gone"


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.name)
def test_tests_check_the_annotations_of_every_library(library: Member) -> None:
    # Packages themselves only pass names on, and pytest loads them past the hook when it looks for doctests.
    package = importlib.import_module(library.package)
    names = [found.name for found in pkgutil.iter_modules(package.__path__) if not found.ispkg]
    for name in names:
        found = importlib.util.find_spec(f"{library.package}.{name}")
        assert found is not None
        assert type(found.loader).__module__.startswith("jaxtyping."), f"{found.name} is not checked"
    assert names


def test_the_example_of_the_readme_runs() -> None:
    failed, attempted = doctest.testfile(str(ROOT / "README.md"), module_relative=False)
    assert attempted >= 5
    assert failed == 0


def test_the_lock_takes_our_distributions_from_here_alone() -> None:
    packages = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    sources = {package["name"]: package["source"] for package in packages}
    for member in MEMBERS:
        assert sources[member.distribution] == {"editable": member.folder}
    ours = {member.distribution for member in MEMBERS}
    assert {name for name in sources if name.startswith("fusion3d")} == ours
    assert not set(sources) & ({distribution_of(m.package) for m in MEMBERS} - ours)


@pytest.mark.parametrize("member", MEMBERS, ids=lambda member: member.name)
def test_every_member_carries_the_licence(member: Member) -> None:
    # A copy, because neither a link nor a path outside of the folder survives in a source distribution.
    assert (ROOT / member.folder / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
