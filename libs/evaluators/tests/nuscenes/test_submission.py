import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluators.nuscenes import NuscenesBoxes, NuscenesMeta, NuscenesSample, read_submission, write_submission
from hypothesis import given, settings
from hypothesis import strategies as st

Samples = tuple[dict[str, NuscenesSample], dict[str, NuscenesBoxes]]
BOX = {
    "sample_token": "a",
    "translation": [1.0, 2.0, 3.0],
    "size": [1.9, 4.5, 1.6],
    "rotation": [1, 0, 0, 0],
    "velocity": [0.0, 0.5],
    "detection_name": "car",
    "detection_score": 0.5,
    "attribute_name": "vehicle.parked",
}
META = {"use_camera": False, "use_lidar": True, "use_radar": False, "use_map": False, "use_external": False}


def submission(path: Path, *boxes: Any, **changes: Any) -> Path:
    path.write_text(json.dumps({"meta": META, "results": {"b": [], "a": list(boxes)}} | changes))
    return path


def test_reads_every_field(tmp_path: Path) -> None:
    path = submission(
        tmp_path / "r.json", BOX, BOX | {"detection_name": "barrier", "num_pts": 0, "extra": {"x": 1}}
    )
    found = read_submission(path, frames=["a", "b"])
    assert found.meta == NuscenesMeta(use_lidar=True)
    assert list(found.boxes) == ["b", "a"]
    boxes = found.boxes["a"]
    assert boxes.names == ("car", "barrier")
    assert boxes.attributes == ("vehicle.parked", "vehicle.parked")
    assert boxes.num_pts.tolist() == [-1, 0]
    for name, key in (
        ("translation", "translation"),
        ("size_wlh", "size"),
        ("rotation", "rotation"),
        ("velocity", "velocity"),
    ):
        assert getattr(boxes, name).tolist() == [BOX[key]] * 2
    assert boxes.score is not None and boxes.score.tolist() == [0.5, 0.5]
    assert len(found.boxes["b"]) == 0


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=10)
def test_what_is_written_reads_back_bit_for_bit(
    make_samples: Callable[..., Samples], tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    _, pred = make_samples(seed, 3)
    path = tmp_path_factory.mktemp("round") / "r.json"
    meta = NuscenesMeta(use_camera=True, use_external=True)
    write_submission(path, pred, meta=meta)
    found = read_submission(path, frames=pred)
    assert found.meta == meta
    assert list(found.boxes) == list(pred)
    for token, boxes in pred.items():
        back = found.boxes[token]
        assert (back.names, back.attributes) == (boxes.names, boxes.attributes)
        for name in ("translation", "size_wlh", "rotation", "velocity", "score", "num_pts"):
            np.testing.assert_array_equal(getattr(back, name), getattr(boxes, name))


def test_a_broken_submission_is_not_written(parked: NuscenesBoxes, tmp_path: Path) -> None:
    path, meta = tmp_path / "r.json", NuscenesMeta(use_lidar=True)
    write_submission(path, {"a": parked}, meta=meta)
    before = path.read_bytes()
    for bad, message in (
        (replace(parked, score=None), "sample 'z': boxes have no score"),
        (replace(parked, score=np.array([np.nan])), r"sample 'z', row 1 \(car\): expected finite numbers"),
        (replace(parked, names=("van",)), "sample 'z', row 1: unknown class 'van'"),
    ):
        with pytest.raises(ValueError, match=message):
            write_submission(path, {"a": parked, "z": bad}, meta=meta)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_any_known_attribute_passes_where_none_is_scored(tmp_path: Path) -> None:
    barrier = BOX | {"detection_name": "barrier", "attribute_name": "cycle.with_rider"}
    assert len(read_submission(submission(tmp_path / "r.json", barrier)).boxes["a"]) == 1


@pytest.mark.parametrize(
    ("box", "message"),
    [
        (BOX | {"translation": [1, 2]}, "translation must be 3 numbers, got [1, 2]"),
        (BOX | {"translation": 7}, "translation must be 3 numbers, got 7"),
        (BOX | {"translation": [1, 2], "size": [1, 2, 3, 4]}, "translation must be 3 numbers"),
        (BOX | {"size": [1, "2", 3]}, "size must be 3 numbers"),
        (BOX | {"rotation": None}, "rotation must be 4 numbers, got None"),
        (BOX | {"velocity": [10**400, 0]}, "velocity must be 2 numbers"),
        (BOX | {"detection_score": "high"}, "detection_score must be a number, got 'high'"),
        (BOX | {"detection_score": None}, "detection_score must be a number, got 'None'"),
        (BOX | {"attribute_name": None}, "attribute_name must be text, got 'None'"),
        (BOX | {"sample_token": 3}, "sample_token must be text, got '3'"),
        (BOX | {"num_pts": 1.5}, "num_pts must be a whole number, got '1.5'"),
        (BOX | {"sample_token": "b"}, "the box says sample_token 'b'; file it under that"),
        (
            {"detection_name": "car"},
            "the box has no attribute_name, detection_score, rotation, sample_token, size",
        ),
        ({}, "the box has no attribute_name, detection_name,"),
        (7, "expected a box as an object, got int"),
        (None, "expected a box as an object, got NoneType"),
        (BOX | {"detection_name": "van"}, "unknown class 'van'; the classes are car, truck, bus, trailer,"),
        (BOX | {"attribute_name": "idle"}, "unknown attribute 'idle'; the attributes are cycle.with_rider,"),
        (
            BOX | {"attribute_name": "pedestrian.moving"},
            "a car cannot have the attribute 'pedestrian.moving'",
        ),
        (
            BOX | {"translation": [float("nan"), 0, 0]},
            "(car): expected finite numbers, got a NaN or infinity",
        ),
        (BOX | {"velocity": [float("nan"), 0]}, "(car): expected finite numbers, got a NaN or infinity"),
        (
            BOX | {"rotation": [0.9, 0, 0, 0]},
            "(car): expected a unit quaternion w x y z, got one of length 0.9",
        ),
        (BOX | {"size": [1, -2, 3]}, "(car): expected positive sizes"),
    ],
)
def test_a_wrong_box_is_refused_with_file_sample_and_row(tmp_path: Path, box: Any, message: str) -> None:
    path = submission(tmp_path / "r.json", BOX, box)
    where = re.escape(f"{path}, sample 'a', row 2")
    with pytest.raises(ValueError, match=where + ".*" + re.escape(message)):
        read_submission(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is this a complete JSON file?"),
        ('{"meta": {', "is this a complete JSON file?"),
        ("[" * 200_000, "is this a complete JSON file?"),
        ("[]", "expected an object with 'meta' and 'results'; is this a submission?"),
        ('{"results": {}}', "expected an object with 'meta' and 'results'"),
        (
            '{"meta": {}, "results": {}}',
            "meta must say true or false for use_camera, .* wrong or missing: use_camera",
        ),
        ('{"meta": 3, "results": {}}', "meta must say true or false"),
        (json.dumps({"meta": META | {"use_map": "no"}, "results": {}}), "wrong or missing: use_map"),
        (
            json.dumps({"meta": META, "results": []}),
            "results must be an object, sample token -> list of boxes",
        ),
        (json.dumps({"meta": META, "results": BOX}), "results must be an object"),
        (json.dumps({"meta": META, "results": {"a": BOX}}), "sample 'a': expected a list of boxes"),
        (json.dumps({"meta": META, "results": {"a": []}})[:-2] + ', "a": []}}', "the key a is there twice"),
    ],
)
def test_a_file_that_is_no_submission_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "r.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"{re.escape(str(path))}.*{message}"):
        read_submission(path)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_bytes(b'{"meta": "\xff\xfe\x00\x80"}')
    with pytest.raises(ValueError, match=r"r.json: not text"):
        read_submission(path)
    with pytest.raises(FileNotFoundError):
        read_submission(tmp_path / "none.json")


def test_samples_must_be_those_of_the_split(tmp_path: Path) -> None:
    path = submission(tmp_path / "r.json", BOX)
    with pytest.raises(
        ValueError,
        match=r"the samples of the split: its results lack 1 of 3 frames: c; give an empty list",
    ):
        read_submission(path, frames=["a", "b", "c"])
    with pytest.raises(ValueError, match=r"its results hold 1 frames that the ground truth lacks: b"):
        read_submission(path, frames=["a"])


def test_at_most_500_boxes(tmp_path: Path) -> None:
    assert len(read_submission(submission(tmp_path / "r.json", *[BOX] * 500)).boxes["a"]) == 500
    with pytest.raises(ValueError, match="sample 'a': 501 boxes, at most 500 are allowed; keep those with"):
        read_submission(submission(tmp_path / "r.json", *[BOX] * 501))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["a", "car"]),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.sampled_from([*BOX, "num_pts"]), inner),
    max_leaves=12,
)


@pytest.mark.slow
@given(data=st.data())
@settings(max_examples=250)
def test_a_mutated_file_is_refused_or_read(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.json"
    if data.draw(st.booleans()):
        box = BOX | data.draw(st.dictionaries(st.sampled_from([*BOX, "num_pts"]), JSON, max_size=2))
        submission(path, box, data.draw(st.sampled_from([BOX, None])))
    else:
        content = bytearray(submission(path, BOX).read_bytes())
        for _ in range(data.draw(st.integers(0, 3))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        path.write_bytes(content)
    try:
        found = read_submission(path, invalid=data.draw(st.sampled_from(["error", "keep"])))
    except ValueError:
        return
    assert all(len(boxes) <= 500 for boxes in found.boxes.values())


@given(content=st.binary(max_size=60))
@settings(max_examples=100)
def test_random_bytes_are_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "bytes.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"bytes\.json"):
        read_submission(path)
