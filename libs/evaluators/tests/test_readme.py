"""The examples run, and the calls and commands that the documents name exist."""

import doctest
import importlib
import re
import shlex
from pathlib import Path

import pytest
from evaluators._cli import main

README = Path(__file__).parents[1] / "README.md"
DOCS = Path(__file__).parents[3] / "docs"
PAGES = [README, DOCS / "evaluators_migration.md"]


def test_the_examples_of_the_readme_run() -> None:
    results = doctest.testfile(str(README), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert results.attempted > 10
    assert results.failed == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_calls_that_are_named_exist(page: Path) -> None:
    names = re.findall(r"`(?:evaluators\.)?([a-z]+)\.([A-Za-z_]+)[(`]", page.read_text(encoding="utf-8"))
    ours = [
        (module, name) for module, name in names if (README.parents[0] / "src/evaluators" / module).is_dir()
    ]
    assert len(ours) > 5
    missing = [
        pair for pair in ours if not hasattr(importlib.import_module(f"evaluators.{pair[0]}"), pair[1])
    ]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_that_are_named_are_understood(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commands = re.findall(r"`evaluators ([a-z]+ --(?!help)[^`]+)`", page.read_text(encoding="utf-8"))
    assert len(commands) > 4
    for command in commands:
        # The files do not exist, which is found out only after the options were understood.
        assert main(shlex.split(command)) == 2, command
        assert "usage:" not in capsys.readouterr().err


def test_the_list_of_what_is_fuzzed_is_true() -> None:
    text = (DOCS / "lib_evaluators.md").read_text(encoding="utf-8")
    listed = {
        (path, name): int(examples)
        for examples, path, name in re.findall(r"\| (\d+) \| `([\w/.]+)::(\w+)` \|", text)
    }
    properties: dict[tuple[str, str], int] = {}
    for path in Path(__file__).parent.rglob("test_*.py"):
        decorated = r"^((?:@.*\n(?:[ )].*\n)*)+)def (\w+)\("
        for decorators, name in re.findall(decorated, path.read_text(encoding="utf-8"), re.MULTILINE):
            if "@given" in decorators:
                limit = re.search(r"max_examples=(\d+)", decorators)
                where = path.relative_to(Path(__file__).parent).as_posix()
                properties[where, name] = int(limit[1]) if limit else 100
    assert {test: properties.get(test) for test in listed} == listed
    unlisted = [
        test for test in properties.keys() - listed.keys() if re.search("refuse|value_error", test[1])
    ]
    assert not unlisted
