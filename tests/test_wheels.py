"""The distributions, built and installed from a local folder: they are complete and take nothing foreign."""

import json
import subprocess
import sys
from email.message import Message
from email.parser import BytesParser
from pathlib import Path
from zipfile import ZipFile

import pytest
from members import ROOT, Member, distribution_of, read_members

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("wheels")]
MEMBERS = read_members()
DISTRIBUTIONS = {member.distribution for member in MEMBERS}
# What our libraries are called without the prefix belongs to strangers on a package index.
STRANGERS = {distribution_of(name) for m in MEMBERS for name in (m.name, m.package)} - DISTRIBUTIONS
UV = Path(sys.executable).with_name("uv")
WHERE_FROM = """
import importlib.metadata, importlib.util, json, sys
owners = importlib.metadata.packages_distributions()
print(json.dumps({name: [importlib.util.find_spec(name).origin, *owners[name]] for name in sys.argv[1:]}))
"""
each_member = pytest.mark.parametrize("member", MEMBERS, ids=lambda member: member.name)


def uv(*arguments: str | Path) -> None:
    done = subprocess.run(
        [UV, *arguments, "--offline", "--no-config", "-q"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of all wheels, each built from its source distribution, so that both are complete."""
    folder = tmp_path_factory.mktemp("dist")
    uv("build", "--all-packages", "--no-build-isolation", "--python", sys.executable, "--out-dir", folder)
    return folder


def wheel_of(member: Member, dist: Path) -> ZipFile:
    (path,) = dist.glob(f"{member.distribution.replace('-', '_')}-*.whl")
    return ZipFile(path)


def metadata_of(wheel: ZipFile) -> Message:
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return BytesParser().parsebytes(wheel.read(name))


def test_wheels_alone_give_every_package(dist: Path, tmp_path: Path) -> None:
    python = tmp_path / "bin/python"
    uv("venv", "--python", sys.executable, tmp_path)
    uv(
        "pip",
        "install",
        "--python",
        python,
        "--no-index",
        "--find-links",
        dist,
        "--no-deps",
        *sorted(DISTRIBUTIONS),
    )
    packages = [member.package for member in MEMBERS]
    found = json.loads(subprocess.check_output([python, "-I", "-c", WHERE_FROM, *packages]))
    for member in MEMBERS:
        origin, *owners = found[member.package]
        assert Path(origin).is_relative_to(tmp_path)
        assert owners == [member.distribution]


@each_member
def test_requirements_name_no_stranger(member: Member, dist: Path) -> None:
    required = {
        distribution_of(line) for line in metadata_of(wheel_of(member, dist)).get_all("Requires-Dist", [])
    }
    assert required
    assert not required & STRANGERS
    assert {name for name in required if name.startswith("fusion3d")} <= DISTRIBUTIONS
    assert member.distribution.startswith("fusion3d-")


@each_member
def test_wheels_hold_one_typed_package_and_the_licence(member: Member, dist: Path) -> None:
    wheel = wheel_of(member, dist)
    names = set(wheel.namelist())
    info = next(name for name in names if name.endswith("METADATA")).split("/")[0]
    assert {name.split("/")[0] for name in names} == {member.package, info}
    source = ROOT / member.folder / "src"
    assert names >= {path.relative_to(source).as_posix() for path in source.rglob("*.py")}
    assert f"{member.package}/py.typed" in names
    assert wheel.read(f"{info}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
    assert not [name for name in names if "tests/" in name or "/test_" in name or "conftest" in name]


@each_member
def test_the_metadata_says_what_it_is(member: Member, dist: Path) -> None:
    metadata = metadata_of(wheel_of(member, dist))
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Author"] == "fusion3d contributors"
    assert metadata["Keywords"] and metadata["Summary"]
    assert {"Typing :: Typed", "Programming Language :: Python :: 3.11"} <= set(
        metadata.get_all("Classifier", [])
    )
    source = (ROOT / member.folder / "src" / member.package / "__init__.py").read_text()
    assert f'\n__version__ = "{metadata["Version"]}"\n' in source
