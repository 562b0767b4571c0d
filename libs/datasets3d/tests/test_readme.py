import doctest
from pathlib import Path

import pytest


def test_the_example_of_the_readme_runs(tiny_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tiny_root.parent / "data").mkdir()
    tiny_root.rename(tiny_root.parent / "data/kitti")
    monkeypatch.chdir(tiny_root.parent)
    readme = Path(__file__).parents[1] / "README.md"
    failed, attempted = doctest.testfile(str(readme), module_relative=False)
    assert attempted >= 10
    assert failed == 0
