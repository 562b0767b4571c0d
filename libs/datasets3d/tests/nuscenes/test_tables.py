import json
from pathlib import Path

import pytest
from datasets3d.nuscenes.tables import Table, finite_numbers, refers_to, stream


def table(folder: Path, rows: list) -> Table:
    (folder / "sample.json").write_text(json.dumps(rows))
    return Table(folder, "sample")


def test_records_come_by_token_in_file_order(tmp_path: Path) -> None:
    found = table(tmp_path, [{"token": "b"}, {"token": "a"}])
    assert [row.token for row in found] == ["b", "a"]
    assert [row.record for row in found] == [{"token": "b"}, {"token": "a"}]


def test_only_the_wanted_are_kept(tmp_path: Path) -> None:
    table(tmp_path, [{"token": "b", "n": 1}, {"token": "a", "n": 2}])
    kept = Table(tmp_path, "sample", lambda record: record["n"] == 2)
    assert [row.token for row in kept] == ["a"]


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"no table .*sample\.json; expected the folder of the data set"
    ):
        Table(tmp_path, "sample")


def test_records_need_a_token_of_their_own(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"sample\.json: expected records with a token, got \{'tok'"):
        table(tmp_path, [{"tok": "a"}])
    with pytest.raises(ValueError, match=r"sample\.json: expected records with a token, got \{'token': 3"):
        table(tmp_path, [{"token": 3}])
    with pytest.raises(ValueError, match=r"sample\.json: two records have token 'a'"):
        table(tmp_path, [{"token": "a"}, {"token": "a"}])
    assert len(list(stream(tmp_path, "sample"))) == 2


def test_tokens_are_followed_and_dangling_ones_blame_who_asked(tmp_path: Path) -> None:
    first, second = table(tmp_path, [{"token": "a", "next": "b"}, {"token": "b", "next": "x"}])
    found = table(tmp_path, [{"token": "b"}])
    assert found.follow(first, "next").token == "b"
    with pytest.raises(
        ValueError, match=r"sample\.json: no record with token 'x', which sample 'b' asks for as next"
    ):
        found.follow(second, "next")


@pytest.mark.parametrize(
    ("read", "field", "value", "message"),
    [
        ("text", "name", 3, "name of sample 'a' must be text, got 3"),
        ("whole", "time", "3", "time of sample 'a' must be a whole number, got 3"),
        ("whole", "time", 1.5, "time of sample 'a' must be a whole number, got 1.5"),
        ("whole", "time", True, "time of sample 'a' must be a whole number, got True"),
        ("whole", "time", float("inf"), "time of sample 'a' must be a whole number, got inf"),
        ("whole", "time", float("nan"), "time of sample 'a' must be a whole number, got nan"),
    ],
)
def test_a_wrong_type_names_table_token_and_field(
    tmp_path: Path, read: str, field: str, value: object, message: str
) -> None:
    (row,) = table(tmp_path, [{"token": "a", field: value}])
    with pytest.raises(ValueError, match=rf"sample\.json: {message}"):
        getattr(row, read)(field)
    with pytest.raises(ValueError, match=r"sample\.json: sample 'a' has no other"):
        getattr(row, read)("other")


@pytest.mark.parametrize("value", [[1, 2], [1, 2, "3"], [1, 2, float("nan")], "abc", None, [1, 2, 10**400]])
def test_a_pose_needs_numbers(tmp_path: Path, value: object) -> None:
    (row,) = table(tmp_path, [{"token": "a", "translation": value, "rotation": [1, 0, 0, 0]}])
    with pytest.raises(ValueError, match="translation of sample 'a' must be 3 finite numbers, got"):
        row.pose()


def test_a_pose_needs_a_rotation(tmp_path: Path) -> None:
    (row,) = table(tmp_path, [{"token": "a", "translation": [1, 2, 3], "rotation": [0, 0, 0, 0]}])
    with pytest.raises(ValueError, match="rotation of sample 'a' must be a quaternion"):
        row.pose()


@pytest.mark.parametrize("value", [[], [[1, 0, 0], [0, 1, 0]], [[1, 0], [0, 1], [0, 0]], 3])
def test_an_intrinsic_is_3x3(tmp_path: Path, value: object) -> None:
    (row,) = table(tmp_path, [{"token": "a", "camera_intrinsic": value}])
    with pytest.raises(ValueError, match="camera_intrinsic of sample 'a' must be 3 rows of 3 finite numbers"):
        row.intrinsic()


def test_finite_numbers() -> None:
    assert finite_numbers([1, 2.5], 2) == (1.0, 2.5)
    assert finite_numbers([1, True], 2) is None


def test_what_leads_nowhere_is_kept_to_be_reported() -> None:
    assert refers_to({"t": "a"}, "t", {"a"}, {"a", "b"})
    assert not refers_to({"t": "b"}, "t", {"a"}, {"a", "b"})
    assert refers_to({"t": "c"}, "t", {"a"}, {"a", "b"})
    assert refers_to({}, "t", {"a"}, {"a", "b"})
