import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluators import nuscenes
from evaluators.nuscenes import SPLITS, NuscenesBoxes, read_ground_truth, read_sample_tokens
from hypothesis import given, settings
from hypothesis import strategies as st

Records = list[dict[str, Any]]
TABLES = (
    "scene",
    "sample",
    "sensor",
    "calibrated_sensor",
    "sample_data",
    "ego_pose",
    "category",
    "instance",
    "attribute",
    "sample_annotation",
)


def changed(dataroot: Path, table: str, change: Callable[[Records], Any]) -> None:
    path = dataroot / "v1.0-mini" / f"{table}.json"
    records = json.loads(path.read_text())
    other = change(records)
    path.write_text(json.dumps(other if isinstance(other, list | dict) and other else records))


def test_the_splits_are_complete_and_disjoint() -> None:
    assert {name: len(scenes) for name, scenes in SPLITS.items()} == {
        "train": 700,
        "val": 150,
        "test": 150,
        "mini_train": 8,
        "mini_val": 2,
    }
    assert len({*SPLITS["train"], *SPLITS["val"], *SPLITS["test"]}) == 1000
    # Two scenes of mini_train belong to val.
    assert set(SPLITS["mini_train"]) - set(SPLITS["train"]) == {"scene-0553", "scene-0796"}
    assert {"scene-0553", "scene-0796", *SPLITS["mini_val"]} <= set(SPLITS["val"])
    assert SPLITS["mini_val"] == ("scene-0103", "scene-0916")


def test_a_split_has_many_names(dataroot: Path) -> None:
    by_name = read_ground_truth(dataroot, split="mini_val")
    assert list(by_name) == ["0103-00", "0103-01", "0916-00", "0916-01"]
    assert list(read_ground_truth(dataroot, split=["scene-0916"])) == ["0916-00", "0916-01"]
    assert list(read_ground_truth(dataroot, split=["0916-01", "0103-00"])) == ["0103-00", "0916-01"]
    assert list(read_ground_truth(dataroot)) == [*by_name, "0061-00"]
    (dataroot / "v1.0-mini" / "splits.json").write_text('{"mine": ["scene-0061"]}')
    assert list(read_ground_truth(dataroot, split="mine")) == ["0061-00"]
    assert read_sample_tokens(dataroot, split="mini_val") == list(by_name)
    (dataroot / "v1.0-mini" / "splits.json").write_text('{"mini_val": ["scene-0061"]}')
    assert list(read_ground_truth(dataroot, split="mini_val")) == ["0061-00"]


def test_one_sample_has_the_velocities_of_the_whole_scene(dataroot: Path) -> None:
    whole = read_ground_truth(dataroot, split="mini_val")["0103-00"].boxes
    alone = read_ground_truth(dataroot, split=["0103-00"])["0103-00"].boxes
    assert np.isfinite(whole.velocity).any()
    np.testing.assert_array_equal(alone.velocity, whole.velocity)


def annotation(records: Records, **marks: Any) -> dict[str, Any]:
    return next(r for r in records if all(bool(r[name]) == wanted for name, wanted in marks.items()))


@pytest.mark.parametrize(("seconds", "known"), [(1.5, True), (1.500001, False), (0.5, True)])
def test_velocity_from_one_neighbour(dataroot: Path, seconds: float, known: bool) -> None:
    def retimed(records: Records) -> None:
        for record in records:
            record["timestamp"] = int(1e6 * seconds) * int(record["token"][-2:])

    changed(dataroot, "sample", retimed)
    boxes = read_ground_truth(dataroot, split=["0103-00"])["0103-00"].boxes
    table = json.loads((dataroot / "v1.0-mini" / "sample_annotation.json").read_text())
    own = {record["token"]: record for record in table}
    first = next(r for r in table if r["sample_token"] == "0103-00" and r["next"])
    row = [tuple(place) for place in boxes.translation.tolist()].index(tuple(first["translation"]))
    step = np.array(own[first["next"]]["translation"]) - first["translation"]
    expected = step[:2] / seconds if known else [math.nan, math.nan]
    np.testing.assert_allclose(boxes.velocity[row], expected, rtol=1e-9)


def test_a_table_or_folder_that_is_missing_is_named(dataroot: Path) -> None:
    for table in TABLES:
        path = dataroot / "v1.0-mini" / f"{table}.json"
        content = path.read_bytes()
        path.unlink()
        with pytest.raises(
            FileNotFoundError, match=rf"no table .*v1.0-mini/{table}.json; expected the folder"
        ):
            read_ground_truth(dataroot, split="mini_val")
        path.write_bytes(content)
    with pytest.raises(FileNotFoundError, match=r"no table .*v1.0-test/scene.json"):
        read_ground_truth(dataroot, version="v1.0-test")


@pytest.mark.parametrize(
    ("table", "change", "message"),
    [
        (
            "sample",
            lambda r: r[0].update(scene_token="gone"),
            r"scene.json: no record with token 'gone', which sample '0103-00' asks for",
        ),
        ("sample", lambda r: r[0].pop("scene_token"), r"sample.json: sample '0103-00' has no scene_token"),
        (
            "sample",
            lambda r: r[0].update(timestamp="noon"),
            r"timestamp of sample '0103-00' must be a finite number",
        ),
        ("sample", lambda r: r[1].update(timestamp=0), r"in time are not in order"),
        (
            "scene",
            lambda r: r[0].update(name=7),
            r"scene.json: name of scene 's-scene-0103' must be text, got 7",
        ),
        (
            "ego_pose",
            lambda r: [{"token": "x"}],
            r"ego_pose.json: no record with token 'p-0103-00-top-True', which sample_data '0103-00-top-True'",
        ),
        (
            "ego_pose",
            lambda r: r[0].update(translation=[1, 2]),
            r"translation of ego_pose .* must be 3 finite number\(s\), got \[1, 2\]",
        ),
        ("ego_pose", lambda r: r[0].update(translation=[1, 2, math.inf]), r"must be 3 finite number"),
        (
            "sensor",
            lambda r: r[1:],
            r"sample_data.json: no LIDAR_TOP key frame for 4 samples: 0103-00,",
        ),
        (
            "sample_data",
            lambda r: r[0].pop("ego_pose_token"),
            r"sample_data '0103-00-top-True' has no ego_pose_token",
        ),
        (
            "instance",
            lambda r: r[1:],
            r"instance.json: no record with token 'i-0103-\d+', which sample_annotation",
        ),
        (
            "instance",
            lambda r: r[0].update(category_token="gone"),
            r"category.json: no record with token 'gone', which instance 'i-0103-\d+' asks for",
        ),
        ("category", lambda r: r[0].pop("token"), r"category.json: expected records with a token"),
        ("attribute", lambda r: [{"token": "x"}], r"attribute.json: no record with token 'att-"),
        ("attribute", lambda r: {"a": 1}, r"attribute.json: expected a list of records, got dict"),
        ("attribute", lambda r: [None], r"attribute.json: expected records with a token, got None"),
        (
            "sample_annotation",
            lambda r: annotation(r, attribute_tokens=True)["attribute_tokens"].append("b"),
            r"must have one attribute or none",
        ),
        (
            "sample_annotation",
            lambda r: annotation(r, next=True).update(next="gone"),
            r"sample_annotation.json: no record with token 'gone', which sample_annotation 'a-",
        ),
        (
            "sample_annotation",
            lambda r: r[3].update(sample_token="gone"),
            r"sample.json: no record with token 'gone', which sample_annotation 'a-",
        ),
        (
            "sample_annotation",
            lambda r: r[3].update(sample_token=[1]),
            r"sample_token of sample_annotation 'a-.*' must be text, got \[1\]",
        ),
        (
            "sample_annotation",
            lambda r: [{"token": "x", "sample_token": "0061-00"}],
            r"holds nothing on the split; the test split has no public labels",
        ),
    ],
)
def test_a_broken_table_is_refused_with_table_and_token(
    dataroot: Path, table: str, change: Callable[[Records], Any], message: str
) -> None:
    changed(dataroot, table, change)
    with pytest.raises(ValueError, match=message):
        read_ground_truth(dataroot, split="mini_val")


@pytest.mark.parametrize(
    ("split", "message"),
    [
        (
            "valid",
            r"unknown split 'valid': it is none of train, val, test, mini_train, mini_val, and .*splits.json",
        ),
        (
            "mini_train",
            r"7 of 8 scenes or samples of the split 'mini_train' are not in the tables: scene-0553",
        ),
        (
            ["scene-0103", "nothing"],
            r"1 of 2 scenes or samples of the split given are not in the tables: nothing",
        ),
        ([], r"no samples to evaluate in the split given"),
    ],
)
def test_splits_that_are_not_there(dataroot: Path, split: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_ground_truth(dataroot, split=split)


def test_own_splits_must_list_scenes(dataroot: Path) -> None:
    path = dataroot / "v1.0-mini" / "splits.json"
    for content in ("[]", '{"mine": 3}', '{"mine": [3]}'):
        path.write_text(content)
        with pytest.raises(ValueError, match="unknown split 'mine'"):
            read_ground_truth(dataroot, split="mine")
    path.write_text("{")
    with pytest.raises(ValueError, match=r"splits.json: not a JSON file"):
        read_ground_truth(dataroot, split="mine")


VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["", "0103-00", [], [1, 2, 3], {}])
)


@pytest.mark.slow
@given(data=st.data())
@settings(max_examples=150)
def test_mutated_tables_are_refused_or_read(
    golden_nuscenes: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    root = tmp_path_factory.getbasetemp() / "fuzz_tables"
    (root / "v1.0-mini").mkdir(parents=True, exist_ok=True)
    broken = data.draw(st.sampled_from(TABLES))
    for table in TABLES:
        content = (golden_nuscenes / "nothing_in_range" / "v1.0-mini" / f"{table}.json").read_bytes()
        if table == broken:
            records = json.loads(content)
            record = records[data.draw(st.integers(0, len(records) - 1))]
            record[data.draw(st.sampled_from(sorted(record)))] = data.draw(VALUES)
            content = json.dumps(records).encode()
            if data.draw(st.booleans()):
                content = content[: data.draw(st.integers(0, len(content)))]
        (root / "v1.0-mini" / f"{table}.json").write_bytes(content)
    try:
        found = read_ground_truth(root, split="mini_val")
    except ValueError:
        return
    assert found


@pytest.mark.real_data
def test_the_labels_of_a_real_frame_are_nearly_perfect_detections(real_nuscenes: Path) -> None:
    gt = read_ground_truth(real_nuscenes)
    (token, sample), *_ = gt.items()
    assert len(gt) == 1 and len(sample.boxes) == 68
    np.testing.assert_allclose(sample.ego_translation, [411.3039, 1180.8904, 0.0], atol=1e-3)
    kept = sample.boxes.num_pts > 0
    found = replace(sample.boxes.select(kept), velocity=np.zeros((kept.sum(), 2)), score=np.ones(kept.sum()))
    result = nuscenes.evaluate(gt, {token: found})
    present = {name for name in result.protocol.class_names if result.curve(name).evaluated}
    assert present == {"car", "truck", "pedestrian", "traffic_cone", "barrier"}
    assert all(result.ap(name) == pytest.approx(1.0) for name in present)
    # None of the frame's objects has a neighbour in time or an attribute.
    assert result.tp_error("car", "vel_err") == result.tp_error("car", "attr_err") == 1.0


@pytest.mark.real_data
def test_a_real_frame_scores_as_with_the_official_kit(real_nuscenes: Path) -> None:
    gt = read_ground_truth(real_nuscenes)
    ((token, sample),) = gt.items()
    rng, boxes = np.random.default_rng(0), sample.boxes
    rows = np.tile(np.arange(len(boxes)), 2)
    found = NuscenesBoxes.predictions(
        [boxes.names[row] for row in rows],
        translation=boxes.translation[rows] + rng.normal(0, 0.7, (len(rows), 3)),
        size_wlh=boxes.size_wlh[rows] * rng.uniform(0.8, 1.2, (len(rows), 3)),
        rotation=boxes.rotation[rows],
        velocity=rng.normal(0, 1, (len(rows), 2)),
        score=np.round(rng.random(len(rows)), 1),
    )
    result = nuscenes.evaluate(gt, {token: found})
    # What nuscenes-devkit 1.2.0 wrote for this submission, read from a file, and the same tables.
    assert result.mean_ap == pytest.approx(0.28774071887877367, abs=1e-9)
    assert result.nds == pytest.approx(0.2307644401171789, abs=1e-9)
    assert result.tp_errors["trans_err"] == pytest.approx(0.9403702764299018, abs=1e-9)
    assert result.tp_errors["scale_err"] == pytest.approx(0.6346524562764655, abs=1e-9)
    assert result.tp_errors["orient_err"] == pytest.approx(0.5560364605157121, abs=1e-9)
