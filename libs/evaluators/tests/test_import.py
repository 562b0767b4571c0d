"""Importing and asking for help cost next to nothing; every benchmark in the package folder is tried."""

import ast
import graphlib
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import evaluators
import pytest

PACKAGE = Path(str(find_spec("evaluators").origin)).parent
BENCHMARKS = sorted(path.parent.name for path in PACKAGE.glob("[a-z]*/__init__.py"))
COMMANDS = sorted(path.stem for path in PACKAGE.glob("_cli/[a-z]*.py"))
HEAVY = {"numba", "llvmlite", "torch", "scipy", "PIL", "pandas", "matplotlib", "lightning", "torchmetrics"}


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def loaded_after(statement: str) -> set[str]:
    return set(run(f"import sys\n{statement}\nprint(*sys.modules)").split())


def test_there_is_a_benchmark_at_all() -> None:
    assert "kitti" in BENCHMARKS
    assert "kitti" in COMMANDS


def test_importing_the_library_loads_no_other() -> None:
    assert not loaded_after("import evaluators") & (HEAVY | {"numpy", "geom3d", "tqdm", "jaxtyping"})


@pytest.mark.slow
def test_the_package_loads_a_benchmark_when_it_is_asked_for() -> None:
    code = (
        "import sys, evaluators\nbefore = set(sys.modules)\n"
        "assert evaluators.kitti.KittiEvaluator and 'evaluators.kitti' not in before\nprint(*dir(evaluators))"
    )
    assert {*BENCHMARKS, "state"} <= set(run(code).split())
    assert set(evaluators.__all__) == {*BENCHMARKS, "state"}
    with pytest.raises(AttributeError, match="evaluators has no 'kity'; it has depth, indoor, kitti"):
        _ = evaluators.kity


@pytest.mark.slow
@pytest.mark.parametrize("name", BENCHMARKS)
def test_importing_a_benchmark_loads_no_compiler_and_no_other_benchmark(name: str) -> None:
    loaded = loaded_after(f"import evaluators.{name}")
    assert not loaded & (HEAVY | {"geom3d", "tqdm"})


@pytest.mark.parametrize("arguments", [[], *([name] for name in COMMANDS)], ids=lambda words: "".join(words))
def test_help_loads_no_numbers_library(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom evaluators._cli import main\n"
        f"try:\n    main({[*arguments, '--help']})\nexcept SystemExit as end:\n    assert not end.code\n"
        "print('LOADED', *sys.modules)"
    )
    text, _, loaded = run(code).rpartition("LOADED")
    assert text.startswith("usage: evaluators")
    assert not set(loaded.split()) & (HEAVY | {"numpy", "geom3d", "tqdm", "jaxtyping"})


@pytest.mark.parametrize("name", COMMANDS)
def test_help_fits_a_terminal_and_shows_examples(name: str) -> None:
    environment = os.environ | {"COLUMNS": "110"}
    command = [sys.executable, "-m", "evaluators", name, "--help"]
    text = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    # Lists of choices in braces cannot be broken.
    assert max(len(line) for line in text.splitlines() if "{" not in line) <= 110
    assert f"  evaluators {name} --" in text.partition("examples:")[2]


def imported(path: Path, modules: set[str]) -> set[str]:
    """Return which of `modules` the file imports, in functions too, but not under `if TYPE_CHECKING:`."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = (f"{node.module}.{alias.name}" for alias in node.names)
            found |= {name if name in modules else str(node.module) for name in names}
    return found & modules


@pytest.mark.slow
def test_no_module_imports_itself_by_a_detour() -> None:
    paths = {
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
        for path in PACKAGE.rglob("*.py")
    }
    graph = {name: imported(path, set(paths)) for name, path in paths.items()}
    assert "evaluators.kitti._text" in graph["evaluators.kitti.result"]
    # Raises CycleError, which names the circle.
    graphlib.TopologicalSorter(graph).prepare()
