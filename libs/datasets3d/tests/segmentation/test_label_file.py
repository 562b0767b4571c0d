from pathlib import Path

import numpy as np
import pytest
from datasets3d.segmentation import IGNORED, read_label_table
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

GOOD = """
name: courtyard
classes:
  - {name: ground, ids: [1, 2], colour: [120, 90, 60]}
  - {name: tree, ids: 3}
  - {name: person, ids: [4, -7], thing: true}
ignored: [0, 255]
unknown: tree
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "street.yaml"


def test_a_table_is_read(path: Path) -> None:
    path.write_text(GOOD)
    table = read_label_table(path)
    assert table.name == "courtyard"
    assert table.classes == ("ground", "tree", "person") and table.things == ("person",)
    assert table.colours_rgb[0] == (120, 90, 60) and len(set(table.colours_rgb)) == 3
    raw = np.array([1, 2, 3, 4, 65536 - 7, 0, 255, 99], np.uint32)
    assert table.class_indices(raw).tolist() == [0, 0, 1, 2, 2, IGNORED, IGNORED, 1]
    assert table.raw_ids(np.array([0, 1, 2, IGNORED])).tolist() == [1, 3, 4, 0]


def test_what_is_left_out_has_a_default(path: Path) -> None:
    path.write_text("classes: [{name: a, ids: [5]}]")
    table = read_label_table(path)
    assert (table.name, table.unknown, table.ignored_raw) == ("street", "error", 0)
    assert table.class_indices(np.array([5, 0], np.uint32)).tolist() == [0, IGNORED]


def test_zero_may_be_a_class(path: Path) -> None:
    path.write_text("classes: [{name: a, ids: [0]}, {name: b, ids: [1]}]\nunknown: ignored")
    table = read_label_table(path)
    assert table.class_indices(np.array([0, 1, 2], np.uint32)).tolist() == [0, 1, IGNORED]
    assert table.raw_ids(np.array([IGNORED])).tolist() == [2]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("classes:", "klasses:", "it has the key 'klasses'; did you mean 'classes'"),
        ("thing: true", "things: true", "class 3 has the key 'things'; did you mean 'thing'"),
        ("thing: true", "thing: 1", "class person: thing must be true or false, got 1"),
        ("name: tree", "name: no", "class 2: name must be a word, got False; put it in quotes"),
        ("name: tree, ", "", "class 2: name must be a word, got nothing"),
        (
            "{name: tree, ids: 3}",
            "{name: person, ids: 3}\n  - {name: tree, ids: 6}",
            "class 'person' is named twice",
        ),
        ("ids: 3", "ids: [1]", "raw id 1 is listed twice"),
        ("ids: 3", "ids: [0]", "raw id 0 is listed twice"),
        ("ids: 3", "ids: three", "class tree: ids must be whole numbers such as .*got 'three'"),
        ("ids: 3", "ids: []", r"class tree: ids must be whole numbers such as .*got \[\]"),
        ("ids: 3", "ids: [true]", "class tree: ids must be whole numbers"),
        ("ids: 3", "ids: [70000]", r"class tree: ids must lie in 0\.\.65535, .*got 70000"),
        ("[120, 90, 60]", "red", r"class ground: colour must be red green blue as .*got 'red'"),
        ("[120, 90, 60]", "[1, 2, 300]", r"a colour is three numbers 0\.\.255, got \(1, 2, 300\)"),
        (
            "unknown: tree",
            "unknown: tre",
            "unknown must be error, ignored or a class, got 'tre'; did you mean 'tree'",
        ),
        ("unknown: tree", "ignored: [9]", "line 8: the key 'ignored' comes twice"),
        ("unknown: tree", "1: [9]", "line 8: the key 1 is no word"),
        ("unknown: tree", "unknown: [", "expected the node content"),
        ("unknown: tree", "unknown: !!python/object:os.system {}", "could not determine a constructor"),
        ("  - {name: tree, ids: 3}", "  - tree", "class 2 is 'tree'; expected such as"),
        ("ignored: [0, 255]", "ignored: {0: 1}", "the key 0 is no word"),
    ],
)
def test_every_mistake_is_one_clear_error(path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(ValueError, match=rf"(?s)label table .*street\.yaml: .*{message}") as caught:
        read_label_table(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["", "[]", "classes:", "classes: []", "classes: 7", "7", "a: &a [*a]"])
def test_what_is_no_table_is_told_how_one_looks(path: Path, content: str) -> None:
    path.write_text(content)
    with pytest.raises(ValueError, match=r"street\.yaml: "):
        read_label_table(path)


def test_no_file_and_no_text_are_named(path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no label table .*street\.yaml; expected such as"):
        read_label_table(path)
    path.write_bytes(b"classes: \xff")
    with pytest.raises(ValueError, match=r"street\.yaml, line 1: expected text"):
        read_label_table(path)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    at=st.integers(0, len(GOOD) - 1),
    new=st.sampled_from(["", "\n", "x", "0", "-", "[", "{", "}", ":", "&a ", "*a"]),
)
def test_a_damaged_table_is_read_or_refused_by_name(path: Path, at: int, new: str) -> None:
    path.write_text(GOOD[:at] + new + GOOD[at + 1 :])
    try:
        read_label_table(path)
    except ValueError as error:
        assert "street.yaml" in str(error)
