"""Who needs whom, and what a change can reach."""

import subprocess
import sys
from pathlib import Path

import pytest
from members import ROOT, Member, changed_files, reached, read_members, with_needs


def member(folder: str, needs: tuple[str, ...] = (), extra: tuple[str, ...] = ()) -> Member:
    name = folder.split("/")[1]
    project = {"name": f"f-{name}", "dependencies": [f"f-{need}>=0.1" for need in needs]}
    project["optional-dependencies"] = {"more": [f"f-{need}[all]" for need in extra]}
    return Member(folder, name, project)


BASE, MIDDLE, SIDE, APP = MEMBERS = [
    member("libs/base"),
    member("libs/middle", needs=("base", "numpy")),
    member("libs/side"),
    member("apps/app", needs=("middle",), extra=("side",)),
]


def test_needs_are_followed_through_members_and_extras() -> None:
    assert with_needs(MEMBERS, ["middle"]) == [BASE, MIDDLE]
    assert with_needs(MEMBERS, ["app"]) == MEMBERS


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'bse'; there are app, base, middle, side"):
        with_needs(MEMBERS, ["bse"])


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ([], []),
        (["libs/base/src/base/a.py"], ["libs/base", "libs/middle", "apps/app", "tests"]),
        (["libs/side/README.md"], ["libs/side", "apps/app", "tests"]),
        (["apps/app/tests/test_a.py", "tools/x.py"], ["apps/app", "tests"]),
        (["README.md", ".ci/run"], ["tests"]),
        (["pyproject.toml"], ["libs/base", "libs/middle", "libs/side", "apps/app", "tests"]),
        (["libs/basement.md"], ["libs/base", "libs/middle", "libs/side", "apps/app", "tests"]),
    ],
)
def test_a_change_reaches_those_that_need_what_it_touches(changed: list[str], expected: list[str]) -> None:
    assert reached(MEMBERS, changed) == expected


def test_members_are_found_by_their_folders(tmp_path: Path) -> None:
    for folder in ("libs/one", "apps/two"):
        package = tmp_path / folder / "src" / f"pack_{folder[-3:]}"
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (tmp_path / folder / "pyproject.toml").write_text('[project]\nname = "f-x"\n')
    assert [(m.folder, m.package) for m in read_members(tmp_path)] == [
        ("apps/two", "pack_two"),
        ("libs/one", "pack_one"),
    ]
    (tmp_path / "libs/one/src/pack_one/__init__.py").unlink()
    with pytest.raises(ValueError, match="expected exactly one"):
        read_members(tmp_path)


def test_the_command_prints_the_folders_to_install() -> None:
    command = [sys.executable, ROOT / "tools/members.py", "paths", "sparseops"]
    assert subprocess.check_output(command, text=True) == "./libs/geom3d\n./libs/sparseops\n"


def test_edited_new_moved_and_committed_files_have_changed(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        subprocess.run(
            ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments], cwd=tmp_path, check=True
        )

    git("init", "-q")
    for name in ("edited", "moved", "same", "committed"):
        (tmp_path / name).write_text(name)
    (tmp_path / ".gitignore").write_text("ignored")
    git("add", ".")
    git("commit", "-qm", "one")
    git("tag", "base")
    (tmp_path / "committed").write_text("more")
    git("commit", "-qam", "two")
    git("mv", "moved", "there")
    (tmp_path / "edited").write_text("more")
    (tmp_path / "new").touch()
    (tmp_path / "ignored").touch()
    assert changed_files("base", tmp_path) == ["committed", "edited", "moved", "new", "there"]
