import json
import math
from pathlib import Path

import pytest
from evaluators._report import finite_json, write_json


def test_what_is_not_a_number_becomes_null(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    write_json(path, {"a": [1.5, math.nan, math.inf], "b": {"c": None, "d": "text", "e": True}})
    assert json.loads(path.read_text()) == {"a": [1.5, None, None], "b": {"c": None, "d": "text", "e": True}}


def test_a_failed_write_leaves_the_old_report(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    write_json(path, {"old": 1})
    with pytest.raises(TypeError):
        write_json(path, {"new": object()})  # type: ignore[dict-item]
    assert json.loads(path.read_text()) == {"old": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_the_folder_must_exist(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no folder .*no for r.json; create it first"):
        write_json(tmp_path / "no" / "r.json", {})


def test_strings_are_not_taken_apart() -> None:
    assert finite_json(["ab", ("c",)]) == ["ab", ["c"]]
