"""The examples run, and the calls and commands that the documents name exist."""

import doctest
import importlib
import json
import re
import shlex
from pathlib import Path

import pytest
from evaluators._cli import main

README = Path(__file__).parents[1] / "README.md"
DOCS = Path(__file__).parents[3] / "docs"
PAGES = [README, DOCS / "evaluators_migration.md"]


@pytest.mark.slow
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


def test_the_speeds_are_those_of_the_record() -> None:
    def record(name: str) -> dict:
        return json.loads((DOCS.parent / "benchmarks" / "results" / f"{name}_eval.json").read_text())

    kitti, scans, nuscenes = record("kitti"), record("semantickitti")["median"], record("nuscenes")
    panoptic, depth = record("panoptic"), record("depth")["median"]
    kit = nuscenes["official_kit"]
    expected = {
        "KITTI": (
            f"{kitti['command_line_strict']['wall_s']:.1f} s",
            f"{kitti['official_kit_strict']['wall_s']:.0f} s, "
            f"{kitti['official_kit_over_command_line_strict']['wall_s']:.0f} times slower",
        ),
        "indoor": (f"{record('indoor')['rotated']['command_line_wall_s']:.1f} s", ""),
        "SemanticKITTI": (
            f"{scans['evaluate']['wall_s']:.2f} s",
            f"{scans['read_fromfile']['wall_s']:.2f} s",
        ),
        "panoptic": (
            f"{panoptic['evaluators_cpu_ms_per_scan']['median']:.2f} ms",
            f"{panoptic['semantic_kitti_api_cpu_ms_per_scan']['median']:.1f} ms, "
            f"{panoptic['times_faster']:.0f} times slower",
        ),
        "depth": (f"{depth['figures_s']:.1f} ms", f"{depth['numpy_s']:.1f} ms"),
        "nuScenes": (
            f"{nuscenes['median']['evaluate_s']:.1f} s",
            f"{kit['evaluate_s']:.0f} s, "
            f"{kit['evaluate_s'] / nuscenes['median']['evaluate_s']:.0f} times slower",
        ),
        "the same": (f"{nuscenes['median']['total_s']:.0f} s", f"{kit['total_s']:.0f} s"),
    }
    assert kitti["official_kit_strict"]["largest_difference_of_a_curve"] < 1e-12
    assert panoptic["same_result"]
    text = README.read_text(encoding="utf-8").partition("## Speed")[2].partition("## Limits")[0]
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in text.splitlines() if "|" in row][
        2:
    ]
    assert len(rows) == len(expected)
    for row, (start, (seconds, theirs)) in zip(rows, expected.items(), strict=True):
        job, ours, peer = map(str.strip, row)
        assert job.startswith(start)
        assert ours == seconds
        assert peer.endswith(theirs)
