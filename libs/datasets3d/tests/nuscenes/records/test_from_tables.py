from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets3d.nuscenes import CAMERAS, LIDAR, RADARS, b_from_a, build_records


def test_every_key_frame_of_the_tables_in_order(tiny_nuscenes: Path) -> None:
    records = build_records(tiny_nuscenes, version="v1.0-mini")
    assert [r.token for r in records] == [f"scene-0103/{i}" for i in range(3)] + [
        "scene-0061/0",
        "scene-0061/1",
    ]
    assert [r.scene_name for r in records] == ["scene-0103"] * 3 + ["scene-0061"] * 2
    assert list(records[0].sensors) == ["CAM_FRONT", "LIDAR_TOP", "RADAR_FRONT"]
    times = [r.timestamp_us for r in records]
    assert times == sorted(times)


def test_the_order_is_that_of_time_not_of_the_table(tree: Any) -> None:
    tree.tables["sample"].reverse()
    records = build_records(tree.write(), version="v1.0-mini")
    assert [r.token for r in records][:3] == [f"scene-0103/{i}" for i in range(3)]


def test_radar_sweeps_follow_prev_to_where_it_ends(tiny_nuscenes: Path) -> None:
    records = build_records(tiny_nuscenes, version="v1.0-mini")
    sweeps = [r.sensors["RADAR_FRONT"] for r in records]
    # Two earlier sweeps before the first key frame of a scene, five files at most.
    assert [len(s) for s in sweeps] == [3, 5, 5, 3, 5]
    assert [s.token.removeprefix("scene-0103/") for s in sweeps[1]] == [
        "1/RADAR_FRONT/2",
        "1/RADAR_FRONT/1",
        "1/RADAR_FRONT/0",
        "0/RADAR_FRONT/2",
        "0/RADAR_FRONT/1",
    ]
    assert [s.filename.partition("/")[0] for s in sweeps[1]] == [
        "samples",
        "sweeps",
        "sweeps",
        "samples",
        "sweeps",
    ]
    times = [s.timestamp_us for s in sweeps[1]]
    assert times == sorted(times, reverse=True)
    assert [len(r.sensors[LIDAR]) for r in records] == [1] * 5


def test_sweeps_are_chosen_by_channel(tiny_nuscenes: Path) -> None:
    records = build_records(
        tiny_nuscenes, version="v1.0-mini", channels=(LIDAR, "RADAR_FRONT"), sweeps={LIDAR: 2}
    )
    assert [len(r.sensors[LIDAR]) for r in records] == [2] * 5
    assert [len(r.sensors["RADAR_FRONT"]) for r in records] == [1] * 5


def test_every_file_has_its_own_pose_and_calibration(tiny_nuscenes: Path) -> None:
    record = build_records(tiny_nuscenes, version="v1.0-mini")[1]
    key, before = record.sensors["RADAR_FRONT"][:2]
    # 80 ms at 10 m/s along the global x, which is the radar's.
    np.testing.assert_allclose(b_from_a(key, before)[:3, 3], [-0.8, 0, 0], atol=1e-9)
    camera = record.key("CAM_FRONT")
    assert camera.size_wh == (64, 36)
    assert camera.intrinsic == ((40.0, 0.0, 32.0), (0.0, 40.0, 18.0), (0.0, 0.0, 1.0))
    assert camera.calibration.translation == (1.5, 0.0, 1.6)
    assert record.key(LIDAR).intrinsic is None
    assert record.key(LIDAR).size_wh is None
    # The camera looks along the radar's x.
    np.testing.assert_allclose(b_from_a(camera, key)[:3, :3] @ [1, 0, 0], [0, 0, 1], atol=1e-12)


def test_all_twelve_channels(tiny_nuscenes: Path) -> None:
    records = build_records(tiny_nuscenes, version="v1.0-mini", channels=(*CAMERAS, LIDAR, *RADARS))
    assert {len(r.sensors) for r in records} == {12}
    assert {s.channel for c, sweeps in records[1].sensors.items() for s in sweeps if c == s.channel} == {
        *CAMERAS,
        LIDAR,
        *RADARS,
    }


@pytest.mark.parametrize(
    ("split", "scenes"), [(["scene-0061"], ["scene-0061"] * 2), ("mine", ["scene-0103"] * 3)]
)
def test_splits(tree: Any, split: Any, scenes: list[str]) -> None:
    root = tree.write()
    (root / "v1.0-mini/splits.json").write_text('{"mine": ["scene-0103"]}')
    records = build_records(root, version="v1.0-mini", split=split)
    assert [r.scene_name for r in records] == scenes


def test_scenes_that_are_not_there_are_named(tiny_nuscenes: Path) -> None:
    message = (
        r"1 of 2 scenes of the split are not in .*scene\.json: scene-0916; it holds scene-0061, scene-0103"
    )
    with pytest.raises(ValueError, match=message):
        build_records(tiny_nuscenes, version="v1.0-mini", split="mini_val")
    with pytest.raises(ValueError, match="unknown split 'tain'; did you mean 'train'"):
        build_records(tiny_nuscenes, version="v1.0-mini", split="tain")


@pytest.mark.parametrize(
    "name", ["scene", "sample", "sample_data", "sensor", "calibrated_sensor", "ego_pose"]
)
def test_a_missing_table_is_named(tiny_nuscenes: Path, name: str) -> None:
    (tiny_nuscenes / f"v1.0-mini/{name}.json").unlink()
    with pytest.raises(FileNotFoundError, match=rf"no table .*v1\.0-mini/{name}\.json"):
        build_records(tiny_nuscenes, version="v1.0-mini")


@pytest.mark.parametrize(
    ("table", "token", "field", "asker"),
    [
        ("sample", "scene-0061/0", "scene_token", "sample 'scene-0061/0'"),
        ("sample_data", "scene-0061/0/CAM_FRONT/0", "sample_token", "sample_data 'scene-0061/0/CAM_FRONT/0'"),
        (
            "sample_data",
            "scene-0061/0/CAM_FRONT/0",
            "calibrated_sensor_token",
            "sample_data 'scene-0061/0/CAM",
        ),
        (
            "sample_data",
            "scene-0061/0/CAM_FRONT/0",
            "ego_pose_token",
            "sample_data 'scene-0061/0/CAM_FRONT/0'",
        ),
        ("sample_data", "scene-0061/1/RADAR_FRONT/2", "prev", "sample_data 'scene-0061/1/RADAR_FRONT/2'"),
        ("calibrated_sensor", "mount-CAM_FRONT", "sensor_token", "calibrated_sensor 'mount-CAM_FRONT'"),
    ],
)
def test_a_dangling_token_is_named(tree: Any, table: str, token: str, field: str, asker: str) -> None:
    tree.row(table, token)[field] = "nothing"
    with pytest.raises(ValueError, match=rf"\.json: no record with token 'nothing', which {asker}"):
        build_records(tree.write(), version="v1.0-mini")
    tree.row(table, token)[field] = 7
    with pytest.raises(ValueError, match=rf"{table}\.json: {field} of {table} '{token}' must be text, got 7"):
        build_records(tree.write(), version="v1.0-mini")


@pytest.mark.parametrize(
    ("table", "token", "field", "value", "message"),
    [
        ("sample", "scene-0061/0", "timestamp", "now", "must be a whole number, got now"),
        ("sample_data", "scene-0061/0/CAM_FRONT/0", "filename", None, "must be text, got None"),
        ("sample_data", "scene-0061/0/CAM_FRONT/0", "width", "wide", "must be a whole number"),
        ("ego_pose", "scene-0061/0/CAM_FRONT/0", "rotation", [1, 0, 0], "must be 4 finite numbers"),
        (
            "calibrated_sensor",
            "mount-CAM_FRONT",
            "camera_intrinsic",
            [],
            "must be 3 rows of 3 finite numbers",
        ),
        ("calibrated_sensor", "mount-LIDAR_TOP", "translation", "here", "must be 3 finite numbers, got here"),
        ("scene", "scene-0061", "name", None, "must be text, got None"),
    ],
)
def test_a_wrong_field_is_named(
    tree: Any, table: str, token: str, field: str, value: Any, message: str
) -> None:
    tree.row(table, token)[field] = value
    with pytest.raises(ValueError, match=rf"{table}\.json: {field} of {table} '{token}' {message}"):
        build_records(tree.write(), version="v1.0-mini")
    del tree.row(table, token)[field]
    with pytest.raises(ValueError, match=rf"{table}\.json: {table} '{token}' has no {field}"):
        build_records(tree.write(), version="v1.0-mini")


def test_a_key_frame_without_a_channel_is_named(tree: Any) -> None:
    rows = tree.tables["sample_data"]
    rows.remove(tree.row("sample_data", "scene-0061/1/RADAR_FRONT/2"))
    with pytest.raises(ValueError, match="no key frame of RADAR_FRONT for sample 'scene-0061/1'; leave"):
        build_records(tree.write(), version="v1.0-mini")


def test_two_key_files_of_one_channel_are_refused(tree: Any) -> None:
    tree.row("sample_data", "scene-0061/1/RADAR_FRONT/1")["is_key_frame"] = True
    with pytest.raises(ValueError, match="sample 'scene-0061/1' has two key frames of RADAR_FRONT"):
        build_records(tree.write(), version="v1.0-mini")


def test_sweeps_that_run_in_circles_are_refused(tree: Any) -> None:
    token = "scene-0061/1/RADAR_FRONT/2"
    tree.row("sample_data", token)["prev"] = token
    with pytest.raises(
        ValueError, match=f"prev of sample_data '{token}' leads to a file that is not earlier"
    ):
        build_records(tree.write(), version="v1.0-mini")


def test_unknown_channels_are_named(tiny_nuscenes: Path) -> None:
    with pytest.raises(ValueError, match="knows no sensor CAM_FORNT; channels must be among CAM_BACK, CAM_"):
        build_records(tiny_nuscenes, version="v1.0-mini", channels=("CAM_FORNT",))
    with pytest.raises(ValueError, match=r"knows no sensor \(none was named\)"):
        build_records(tiny_nuscenes, version="v1.0-mini", channels=())


def test_tables_without_key_frames_are_refused(tree: Any) -> None:
    tree.tables["sample"].clear()
    with pytest.raises(ValueError, match=r"sample\.json holds no key frame of the split"):
        build_records(tree.write(), version="v1.0-mini")


@pytest.mark.real_data
def test_the_real_key_frame(real_nuscenes: Path) -> None:
    (record,) = build_records(real_nuscenes, version="v1.0-mini", channels=(*CAMERAS, LIDAR))
    assert record.scene_name == "scene-0061"
    assert all(sweeps[0].path(real_nuscenes).is_file() for sweeps in record.sensors.values())
    moved = [np.linalg.norm(b_from_a(record.key(c), record.key(LIDAR))[:3, 3]) for c in CAMERAS]
    assert 0.5 < min(moved) < max(moved) < 2.0
