import json
from pathlib import Path

import numpy as np
import pytest
from datasets3d.depth import read_moving_objects
from datasets3d.nuscenes import Pose, SampleRecord, SensorRecord, build_records, read_lidar
from geom3d import boxes

QUARTER = (0.5**0.5, 0.0, 0.0, 0.5**0.5)


def lidar(time_us: int) -> SensorRecord:
    """A LiDAR 2 m above a car that stands at x = 10 and looks along y."""
    return SensorRecord(
        channel="LIDAR_TOP",
        filename=f"{time_us}.bin",
        token="",
        timestamp_us=time_us,
        calibration=Pose(translation=(0.0, 0.0, 2.0), rotation=(1.0, 0.0, 0.0, 0.0)),
        ego_pose=Pose(translation=(10.0, 0.0, 0.0), rotation=QUARTER),
    )


def sample(token: str, time_us: int) -> SampleRecord:
    return SampleRecord(
        token=token,
        scene_token="s",
        scene_name="s",
        timestamp_us=time_us,
        sensors={"LIDAR_TOP": (lidar(time_us),)},
    )


RECORDS = [sample("a", 0), sample("b", 500_000), sample("c", 1_000_000)]


def write(root: Path, places: dict[str, dict[str, float]]) -> None:
    """Write objects by name, each with its y at key frames; all lie at x = 10, z = 2 and head along y."""
    (root / "v").mkdir()
    annotations = [
        {
            "token": f"{name}{token}",
            "sample_token": token,
            "instance_token": name,
            "translation": [10.0, y, 2.0],
            "size": [2.0, 4.0, 1.5],
            "rotation": list(QUARTER),
        }
        for name, track in places.items()
        for token, y in track.items()
    ]
    (root / "v" / "sample_annotation.json").write_text(json.dumps(annotations))


def test_boxes_in_the_lidar_frame(tmp_path):
    write(tmp_path, {"car": {"c": 30.0, "a": 20.0, "b": 22.0}})
    found = read_moving_objects(tmp_path, "v", RECORDS)
    for record, x in zip(RECORDS, (20.0, 22.0, 30.0), strict=True):
        # Ahead of the car, and heading as it does: size w l h becomes l w h.
        np.testing.assert_allclose(
            found(record, record.key("LIDAR_TOP")), [[x, 0, 0, 4, 2, 1.5, 0]], atol=1e-12
        )


def test_between_key_frames_the_centre_moves_on_a_line(tmp_path):
    write(tmp_path, {"car": {"a": 20.0, "b": 22.0, "c": 30.0}})
    found = read_moving_objects(tmp_path, "v", RECORDS)
    for time_us, x in ((250_000, 21.0), (750_000, 26.0), (2_000_000, 30.0)):
        assert found(RECORDS[1], lidar(time_us))[0, 0] == pytest.approx(x, abs=1e-9)


def test_what_stands_all_the_time_is_left_out_and_what_leaves_is_not(tmp_path):
    write(
        tmp_path,
        {
            "parked": {"a": 20.0, "b": 20.3, "c": 20.1},
            "waits": {"a": 40.0, "b": 40.0, "c": 43.0},
            "once": {"b": 60.0},
            "elsewhere": {"z": 1.0, "y": 80.0},
        },
    )
    found = read_moving_objects(tmp_path, "v", RECORDS)
    seen = [np.sort(found(r, r.key("LIDAR_TOP"))[:, 0]).round(6).tolist() for r in RECORDS]
    assert seen == [[40], [40, 60], [43]]
    everything = read_moving_objects(tmp_path, "v", RECORDS, min_shift_m=0.2)
    assert len(everything(RECORDS[0], RECORDS[0].key("LIDAR_TOP"))) == 2


def test_key_frames_without_movers_have_no_boxes(tmp_path):
    write(tmp_path, {})
    found = read_moving_objects(tmp_path, "v", RECORDS)
    assert found(RECORDS[0], lidar(0)).shape == (0, 7)
    assert found(sample("unknown", 0), lidar(0)).shape == (0, 7)


def test_missing_table_and_field(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no table .*sample_annotation\.json"):
        read_moving_objects(tmp_path, "v", RECORDS)
    (tmp_path / "v").mkdir()
    (tmp_path / "v" / "sample_annotation.json").write_text('[{"token": "x", "sample_token": "a"}]')
    with pytest.raises(ValueError, match="sample_annotation 'x' has no size"):
        read_moving_objects(tmp_path, "v", RECORDS)


@pytest.mark.real_data
def test_real_boxes_hold_the_official_number_of_points(real_nuscenes):
    (record,) = build_records(real_nuscenes, version="v1.0-mini", channels=("LIDAR_TOP",))
    # Every object is seen once here, so each may move.
    found = read_moving_objects(real_nuscenes, "v1.0-mini", [record])
    sweep = record.key("LIDAR_TOP")
    points = read_lidar(sweep.path(real_nuscenes))[:, :3].astype(np.float64)
    counts = boxes.contains(points, found(record, sweep)).sum(axis=0)
    annotations = json.loads((real_nuscenes / "v1.0-mini" / "sample_annotation.json").read_text())
    official = np.array([annotation["num_lidar_pts"] for annotation in annotations])
    assert len(counts) == len(official) == 68
    # As the official kit counts on these tables.
    assert np.count_nonzero(counts == official) == 60
