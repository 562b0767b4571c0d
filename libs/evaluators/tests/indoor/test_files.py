import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluators.indoor import IndoorBoxes, read_ground_truth, read_predictions, write_boxes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

BOXES = IndoorBoxes([[0, 0, 0.5, 1, 1, 1, 0.25], [3, 0, 0.5, 1, 2, 1, 0]], [0, 17], [0.9, 1e-9])
CONTENT: dict[str, Any] = {"boxes": [[0, 0, 0.5, 1, 1, 1]], "labels": ["bed"], "scores": [0.9]}


def columns(scene: IndoorBoxes) -> list[Any]:
    return [
        scene.boxes.tolist(),
        scene.labels.tolist(),
        None if scene.scores is None else scene.scores.tolist(),
    ]


@pytest.mark.parametrize("labels", [[0, 17], ["bed", "sofa"]])
def test_a_scene_survives_npz_and_json(tmp_path: Path, labels: list[Any]) -> None:
    scene = IndoorBoxes(BOXES.boxes, labels, BOXES.scores)
    write_boxes(tmp_path / "a.npz", scene)
    content = dict(zip(("boxes", "labels", "scores"), columns(scene), strict=True))
    (tmp_path / "a.json").write_text(json.dumps(content))
    for name in ("a.npz", "a.json"):
        assert columns(read_predictions(tmp_path / name)) == columns(scene)
        assert columns(read_ground_truth(tmp_path / name)) == [*columns(scene)[:2], None]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "a.npz"]


def test_ground_truth_has_no_scores(tmp_path: Path) -> None:
    write_boxes(tmp_path / "a.npz", IndoorBoxes(BOXES.boxes, BOXES.labels))
    assert read_ground_truth(tmp_path / "a.npz").scores is None
    with pytest.raises(
        ValueError, match=r"a\.npz: lacks scores; expected the entries boxes, labels, scores, found"
    ):
        read_predictions(tmp_path / "a.npz")


def test_an_empty_scene_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"boxes": [], "labels": [], "scores": []}')
    write_boxes(tmp_path / "b.npz", IndoorBoxes.empty())
    for name in ("a.json", "b.npz"):
        assert len(read_predictions(tmp_path / name)) == 0


def test_writing_needs_npz_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"path must end in \.npz, got .*a\.json"):
        write_boxes(tmp_path / "a.json", BOXES)
    with pytest.raises(FileNotFoundError, match="no folder"):
        write_boxes(tmp_path / "no" / "a.npz", BOXES)


@pytest.mark.parametrize("name", ["a.npz", "a.json"])
def test_absent_files_are_not_found(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileNotFoundError):
        read_ground_truth(tmp_path / name)


def test_pickled_objects_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", boxes=np.array([{}], dtype=object), labels=np.zeros(1, np.int64))
    with pytest.raises(ValueError, match=r"a\.npz cannot be read as \.npz .*allow_pickle"):
        read_ground_truth(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "", r"a\.txt: expected a file ending in \.npz or \.json"),
        ("a.npz", "no archive", r"a\.npz cannot be read as \.npz"),
        ("a.json", "{", r"a\.json: not a JSON file"),
        ("a.json", "[1]", r"a\.json: expected a JSON object with boxes and labels"),
        ("a.json", "[" * 100_000, r"a\.json: not a JSON file"),
        (
            "a.json",
            '{"boxes": []}',
            r"a\.json: lacks labels; expected the entries boxes, labels, found boxes",
        ),
        ("a.json", '{"boxes": null, "labels": []}', r"a\.json: expected a list for boxes, got 'None'"),
        ("a.json", '{"boxes": [[1]], "labels": [0]}', r"a\.json: IndoorBoxes.boxes must have shape"),
        ("a.json", '{"boxes": [[1,1,1,1,1,{}]], "labels": [0]}', r"a\.json: .*must be an array of numbers"),
        ("a.json", '{"boxes": [[1,1,1,1,1,1]], "labels": [null]}', "labels must be whole numbers or class"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        read_ground_truth(tmp_path / name)


def test_an_array_file_is_not_an_archive(tmp_path: Path) -> None:
    with (tmp_path / "a.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(ValueError, match=r"cannot be read as \.npz"):
        read_ground_truth(tmp_path / "a.npz")


def archive() -> bytes:
    buffer = io.BytesIO()
    assert BOXES.scores is not None
    np.savez(buffer, boxes=BOXES.boxes, labels=BOXES.labels, scores=BOXES.scores)
    return buffer.getvalue()


def read_or_refuse(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    try:
        assert len(read_predictions(path)) >= 0
    except ValueError as error:
        assert str(path) in str(error)


@given(content=st.binary(max_size=300), suffix=st.sampled_from([".npz", ".json"]))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_bytes_are_read_or_refused(tmp_path: Path, content: bytes, suffix: str) -> None:
    read_or_refuse(tmp_path / f"a{suffix}", content)


@pytest.mark.slow
@given(edits=st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), min_size=1, max_size=6))
@settings(max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_archive_is_read_or_refused(tmp_path: Path, edits: list[tuple[int, int]]) -> None:
    content = bytearray(archive())
    for position, value in edits:
        content[position % len(content)] = value
    read_or_refuse(tmp_path / "a.npz", bytes(content))


@pytest.mark.slow
@given(header=st.text(alphabet="{}'descrfotan_shp:(,) <>|?iufO0123456789TrueFls-e", max_size=60))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_array_header_is_read_or_refused(tmp_path: Path, header: str) -> None:
    text = header.encode("latin1") + b"\n"
    member = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        for name in ("boxes", "labels", "scores"):
            file.writestr(f"{name}.npy", member)
    read_or_refuse(tmp_path / "a.npz", (tmp_path / "a.npz").read_bytes())


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=7), max_leaves=15)


@pytest.mark.slow
@given(name=st.sampled_from(sorted(CONTENT)), value=VALUES)
@settings(max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_json_value_is_read_or_refused(tmp_path: Path, name: str, value: Any) -> None:
    read_or_refuse(tmp_path / "a.json", json.dumps(CONTENT | {name: value}).encode())
