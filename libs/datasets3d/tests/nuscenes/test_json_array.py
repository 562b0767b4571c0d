import json
from pathlib import Path

import pytest
from datasets3d.nuscenes import _json_array
from datasets3d.nuscenes._json_array import read_records, write_records


@pytest.mark.parametrize("indent", [None, 0, 2])
@pytest.mark.parametrize("count", [0, 1, 7])
@pytest.mark.parametrize("chunk", [1, 10, 10_000])
def test_every_way_of_writing_is_read(
    tmp_path: Path, indent: int | None, count: int, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_json_array, "_CHUNK", chunk)
    # A record may be no longer than the window: one character is as narrow as the loop can be.
    records = [{"token": f"ü{i}", "list": [1, 2.5, "]},{"], "inner": {}} for i in range(count)]
    path = tmp_path / "a.json"
    path.write_text(json.dumps(records, indent=indent, ensure_ascii=False), encoding="utf-8-sig")
    if chunk == 10_000 or not count:
        assert list(read_records(path)) == records
    else:
        with pytest.raises(ValueError, match=r"a\.json is no JSON list of records \(damaged record"):
            list(read_records(path))


def test_records_are_cut_by_the_window_and_still_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [{"token": "x" * (i % 30)} for i in range(200)]
    write_records(tmp_path / "a.json", records)
    for chunk in (42, 43, 50, 97):
        monkeypatch.setattr(_json_array, "_CHUNK", chunk)
        assert list(read_records(tmp_path / "a.json")) == records


def test_what_is_written_is_plain_json(tmp_path: Path) -> None:
    for records in ([], [{"a": 1}], [{"a": 1}, {"b": [2]}]):
        write_records(tmp_path / "a.json", records)
        assert json.loads((tmp_path / "a.json").read_text()) == records
        assert list(read_records(tmp_path / "a.json")) == records


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"expected \[, got the end of the file"),
        ("{}", r"expected \[, got '\{\}'"),
        ('[{"a": 1}', "expected , or ], got the end of the file"),
        ('[{"a": 1} {"a": 1}]', "expected , or ], got"),
        ('[{"a": 1},]', "expected a record in braces, got ']'"),
        ("[3]", "expected a record in braces, got '3]'"),
        ('[{"a": }]', "damaged record"),
        ('[{"a": 1', "damaged record"),
        ('[{"a": 1}] x', "there is more after its end: 'x'"),
        ('[{"a": ' + "[" * 100_000 + "]", "recursion"),
    ],
)
def test_anything_else_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(ValueError, match=rf"a\.json is no JSON list of records \(.*{message}"):
        list(read_records(tmp_path / "a.json"))


def test_other_encodings_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes('[{"ü": 1}]'.encode("latin1"))
    with pytest.raises(ValueError, match=r"a\.json is no JSON list of records"):
        list(read_records(tmp_path / "a.json"))


def test_an_interrupted_writer_leaves_the_old_file(tmp_path: Path) -> None:
    write_records(tmp_path / "a.json", [{"a": 1}])
    with pytest.raises(ValueError, match="Out of range float values"):
        write_records(tmp_path / "a.json", [{"a": 1}, {"a": float("nan")}])
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert list(read_records(tmp_path / "a.json")) == [{"a": 1}]
