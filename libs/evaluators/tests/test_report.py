import json
import math
import os
import stat
from pathlib import Path

import pytest
from evaluators._report import JsonValue, finite_json, replacing, write_json, write_text
from hypothesis import given
from hypothesis import strategies as st


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


def test_a_report_is_an_ordinary_file(tmp_path: Path) -> None:
    path = tmp_path / "r.txt"
    previous = os.umask(0o027)
    try:
        write_text(path, "ü\n")
    finally:
        os.umask(previous)
    assert path.read_bytes() == "ü\n".encode()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_reader_never_sees_a_part(tmp_path: Path) -> None:
    path = tmp_path / "r.txt"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("half of the n")
        assert path.read_text() == "old"
        assert temporary.parent == tmp_path
        temporary.write_text("new")
    assert path.read_text() == "new"


def test_an_interrupted_write_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), replacing(tmp_path / "r.txt"):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(json_values)
def test_every_value_can_be_written(value: JsonValue) -> None:
    json.dumps(finite_json(value), allow_nan=False)


def test_numbers_are_written_in_full(tmp_path: Path) -> None:
    values = [0.1 + 0.2, 1e-300, 2.0**-1074]
    write_json(tmp_path / "r.json", values)
    assert json.loads((tmp_path / "r.json").read_text()) == values
