"""What CI would do exists here: it only calls make, with rights to read and a limit of time."""

import itertools
import os
import re
import subprocess
from collections.abc import Iterator

import pytest
import yaml
from members import ROOT

WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
JOBS = WORKFLOW["jobs"]


def commands(job: dict) -> Iterator[str]:
    """What a job runs, once for each value of each axis of its matrix that a command names."""
    axes = job.get("strategy", {}).get("matrix", {})
    for step in job["steps"]:
        written = step.get("run", "")
        named = re.findall(r"\$\{\{ matrix\.(\w+) \}\}", written)
        for values in itertools.product(*(axes[axis] for axis in named)):
            replaced = iter(values)
            yield re.sub(r"\$\{\{ matrix\.\w+ \}\}", lambda _, replaced=replaced: next(replaced), written)


def make_calls() -> list[str]:
    """Every call of make, in the workflow and in `.ci/run`."""
    lines = [line for job in JOBS.values() for command in commands(job) for line in command.splitlines()]
    lines += (ROOT / ".ci/run").read_text().splitlines()
    return sorted({line for line in lines if line.startswith("make ")})


def test_the_workflow_calls_make_for_every_library_python_and_resolution() -> None:
    calls = make_calls()
    assert "make test" in calls
    assert "make isolated-geom3d ISOLATED_PYTHON=3.14 RESOLUTION=highest" in calls
    assert len(calls) >= 40


@pytest.mark.parametrize("target", sorted({call.split()[1] for call in make_calls()}))
def test_every_target_that_is_called_exists(target: str) -> None:
    subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True)


@pytest.mark.parametrize("name", JOBS)
def test_every_job_has_a_limit_and_keeps_no_credentials(name: str) -> None:
    assert JOBS[name]["timeout-minutes"] <= 60
    checkouts = [step for step in JOBS[name]["steps"] if step.get("uses", "").startswith("actions/checkout@")]
    assert [step["with"]["persist-credentials"] for step in checkouts] == [False]


def test_the_workflow_may_read_only() -> None:
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert not [name for name, job in JOBS.items() if "permissions" in job]


def test_every_action_is_pinned_by_its_commit() -> None:
    used = [step["uses"] for job in JOBS.values() for step in job["steps"] if "uses" in step]
    assert used
    assert not [action for action in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action)]


@pytest.mark.skipif("PYTEST_XDIST_WORKER" not in os.environ, reason="this run has no workers")
def test_workers_group_the_tests_of_a_file(request: pytest.FixtureRequest) -> None:
    # pytest 9.2 and pytest-xdist 3.8 together ignore groups, without a word: costly fixtures are made twice.
    assert request.node.nodeid.endswith("@tests/test_workflow.py")
